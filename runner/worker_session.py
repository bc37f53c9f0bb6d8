"""The session of one of several workers that train a cell together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from runner.job import Sharding
from runner.sessions import CellSession
from xmft.errors import XmftError
from xmft.session import Request, T

# How often workers tell one another whether they were asked to stop.
_AGREE_EVERY_S = 0.5
_REQUESTS: tuple[Request, ...] = ("", "save", "stop")


class WorkerSession(CellSession):
    """One of several workers of a cell, in a process group that is already set up.

    Attributes:
        began: Whether the preparation went well everywhere, so that errors may be one worker's.
    """

    began = False

    def __init__(self, *arguments: Any, how: Sharding = "ddp", tensorboard: bool = True) -> None:
        """Prepare; the arguments are those of `CellSession`.

        Args:
            *arguments: Of `CellSession`.
            tensorboard: Of `CellSession`.
            how: Whether each worker has the model (`ddp`), or a part of it (`fsdp`) where
                that can be divided.
        """
        self._how = how
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        super().__init__(*arguments, tensorboard=tensorboard)
        self._steps = 0
        self._next, self._agreed = 1, time.monotonic()

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """Raise on every worker what one of them has met, before the first message is sent."""
        own: Exception | None = None
        try:
            yield
        except Exception as error:
            own = error
        # Others than those for people may not survive being sent.
        shown = own if own is None or isinstance(own, XmftError) else RuntimeError(repr(own))
        errors = [error for error in self.each(shown) if error is not None]
        if own is not None and not isinstance(own, XmftError):
            raise own
        if errors:
            raise next((e for e in errors if isinstance(e, XmftError)), errors[0])
        self.began = True

    def each(self, value: T) -> list[T]:
        """Send values around as objects."""
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def asked(self) -> Request:
        """Agree with the others, some times a second: a message at each step would cost more."""
        self._steps += 1
        if self._steps < self._next:
            return ""
        now = time.monotonic()
        pace = (now - self._agreed) / max(self._steps, 1)
        own = super().asked()
        wish = _REQUESTS.index(own if self.rank == 0 or own == "stop" else "")
        pause = int(min(max(_AGREE_EVERY_S / max(pace, 1e-6), 1), 10_000))
        # The strongest wish, and the shortest pause.
        agreed = torch.tensor([wish, -pause], device=self.device)
        dist.all_reduce(agreed, dist.ReduceOp.MAX)
        wish, pause = agreed.tolist()
        self._steps, self._next, self._agreed = 0, -pause, now
        return _REQUESTS[wish]

    def _due(self) -> bool:
        return self.each(super()._due())[0]

    def shard(self, model: nn.Module) -> None:
        """Divide the parameters, if that is wanted and can be done."""
        if self._how == "fsdp" and self.world_size > 1:
            from runner.sharding import divide  # a second of imports that others need not wait for

            self.sharded = divide(model, self.device)

    def whole(self, state: Any) -> Any:
        """Put divided tensors together for the first worker, which keeps the state."""
        if not self.sharded:
            return state
        from runner.sharding import whole

        return whole(state, keep=self.rank == 0)

    def divided(self, tensor: Tensor, like: Tensor) -> Tensor:
        """Take this worker's part."""
        if not self.sharded:
            return tensor
        from runner.sharding import divided

        return divided(tensor, like)

    def wrap(self, module: nn.Module) -> nn.Module:
        """Average gradients over the workers."""
        if self.world_size == 1 or self.sharded:
            return module
        return DistributedDataParallel(
            module, device_ids=[self.device.index] if self.device.type == "cuda" else None
        )

    @contextmanager
    def no_sync(self, module: nn.Module) -> Iterator[None]:
        """Keep gradients local inside."""
        if self.sharded:
            from runner.sharding import local_gradients

            with local_gradients(module):
                yield
        elif isinstance(module, DistributedDataParallel):
            with module.no_sync():
                yield
        else:
            yield

    def gather(self, x: Tensor) -> Tensor:
        """Put the workers' parts of a batch together in its own order, differentiably."""
        gathered: Tensor = _Gather.apply(x)
        return gathered

    def sum(self, x: Tensor) -> Tensor:
        """Sum over the workers."""
        total = x.clone()
        dist.all_reduce(total)
        return total

    def max(self, x: Tensor) -> Tensor:
        """Maximum over the workers; gathered, for all_reduce may lose a NaN."""
        parts = [torch.empty_like(x) for _ in range(self.world_size)]
        dist.all_gather(parts, x.contiguous())
        return torch.stack(parts).amax(dim=0)

    def collect(self, x: Tensor) -> Tensor:
        """Put the rows of all workers behind one another; padded, for they differ in number."""
        counts = [
            torch.empty(1, dtype=torch.int64, device=x.device) for _ in range(self.world_size)
        ]
        dist.all_gather(counts, torch.tensor([len(x)], device=x.device))
        padded = x.new_zeros((int(torch.cat(counts).max()), *x.shape[1:]))
        padded[: len(x)] = x
        parts = [torch.empty_like(padded) for _ in range(self.world_size)]
        dist.all_gather(parts, padded)
        return torch.cat([part[: int(count)] for part, count in zip(parts, counts, strict=True)])


class _Gather(torch.autograd.Function):
    """all_gather whose backward adds up what every worker's loss says about this part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        # Worker r has every world_size-th sample from r on, so the batch is their interleaving.
        return torch.stack(parts, dim=1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[dist.get_rank() :: dist.get_world_size()]
