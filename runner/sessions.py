"""Sessions that tell the driver how far a cell is and keep its checkpoint in the ledger."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from runner.cell import Cell
from runner.failures import CellTimeoutError
from runner.ledger import Ledger
from runner.tensorboard import EventLog
from xmft.session import Progress, Session

if TYPE_CHECKING:
    from runner.board import Board

# Losing this much work is no loss. Where a checkpoint takes long to write (large models, slow
# storage) they come less often, so that writing stays a twentieth of the time.
_CHECKPOINT_EVERY_S = 3.0
_CHECKPOINT_SHARE = 1 / 20
_REPORT_EVERY_S = 0.3
# Version 1 booked times by the names of stages.
_CHECKPOINT_VERSION = 2


class CellSession(Session):
    """One worker that trains alone."""

    def __init__(
        self,
        cell: Cell,
        results: str,
        device: torch.device,
        board: Board | None,
        timeout_s: float | None,
    ) -> None:
        """Prepare for one attempt at `cell`.

        Args:
            cell: The cell.
            results: Path or URI of the ledger.
            device: Where the model lives.
            board: Takes progress for the display; None if nobody looks.
            timeout_s: Most seconds for the cell; None for no limit.
        """
        self.device = device
        self._cell = cell
        self._ledger = Ledger(results)
        self._board = board
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._timeout_s = timeout_s
        self._reported = 0.0
        self._losses: dict[str, float] = {}
        self._saved = time.monotonic()
        self._pause_s = _CHECKPOINT_EVERY_S
        self._events = EventLog(self._ledger, cell) if self.rank == 0 else None

    def close(self) -> None:
        """Let go of the event file."""
        if self._events is not None:
            self._events.close()

    def report(self, progress: Progress) -> None:
        """Tell the driver and TensorBoard; stop if the time is up."""
        now = time.monotonic()
        if self._deadline is not None and now > self._deadline:
            raise CellTimeoutError(
                f"{self._cell.label} took longer than {self._timeout_s:.0f} s "
                f"(stage '{progress.stage}', step {progress.step} of {progress.steps})."
            )
        if self.rank:
            return
        if self._events is not None and progress.losses:
            self._events.write(progress)
        self._losses = progress.losses or self._losses
        finished = progress.step == progress.steps
        if self._board is not None and (finished or now - self._reported > _REPORT_EVERY_S):
            self._reported = now
            self._board.update(self._cell.id, replace(progress, losses=self._losses))

    def save(self, state: Callable[[], dict[str, Any]], *, force: bool = False) -> None:
        """Write a checkpoint unless the last one is seconds old."""
        now = time.monotonic()
        if self.rank or (now - self._saved < self._pause_s and not force):
            return
        buffer = io.BytesIO()
        torch.save({"version": _CHECKPOINT_VERSION, "state": state()}, buffer)
        self._ledger.save_checkpoint(self._cell.id, buffer.getvalue())
        self._saved = time.monotonic()
        self._pause_s = max(_CHECKPOINT_EVERY_S, (self._saved - now) / _CHECKPOINT_SHARE)

    def restore(self) -> dict[str, Any] | None:
        """Read the cell's checkpoint, whoever wrote it and with however many workers."""
        payload = self._ledger.load_checkpoint(self._cell.id)
        if payload is None:
            return None
        saved = torch.load(io.BytesIO(payload), map_location=self.device, weights_only=True)
        if saved["version"] != _CHECKPOINT_VERSION:
            return None
        state: dict[str, Any] = saved["state"]
        return state


class WorkerSession(CellSession):
    """One of several workers of a cell, in a process group that is already set up."""

    def __init__(self, *arguments: Any) -> None:
        """Prepare; the arguments are those of `CellSession`."""
        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()
        super().__init__(*arguments)

    def wrap(self, module: nn.Module) -> nn.Module:
        """Average gradients over the workers."""
        if self.world_size == 1:
            return module
        return DistributedDataParallel(
            module, device_ids=[self.device.index] if self.device.type == "cuda" else None
        )

    @contextmanager
    def no_sync(self, module: nn.Module) -> Iterator[None]:
        """Keep gradients local inside."""
        if isinstance(module, DistributedDataParallel):
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
