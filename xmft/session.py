"""The seam between the training loop and whatever runs it.

`xmft.fit` sees only this class. The base class is a complete session for one process; the
runner derives one that knows Ray Train.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")

# What a run may be asked for between two steps.
Request = Literal["", "save", "stop"]


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a cell is, for the display: `step` of `steps` within `stage`.

    Attributes:
        account: What the stage's time is booked under, see `Stage`.
    """

    stage: str
    step: int
    steps: int
    losses: dict[str, float]
    account: str


class Session:
    """One process that trains alone and keeps no checkpoint."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = torch.device("cpu")
    # Whether no worker has all of the model: then all of them make the same calls of its parts.
    sharded: bool = False

    def shard(self, model: nn.Module) -> None:
        """Divide the parameters of the model's parts among the workers, where that is wanted."""

    def whole(self, state: Any) -> Any:
        """Return a nest of dictionaries and lists with divided tensors put together."""
        return state

    def divided(self, tensor: Tensor, like: Tensor) -> Tensor:
        """Return `tensor`, which is whole, divided among the workers as `like` is."""
        return tensor

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return `module` ready for training; several workers average gradients in it."""
        return module

    @contextmanager
    def no_sync(self, module: nn.Module) -> Iterator[None]:
        """Backward passes inside keep their gradients local (gradient accumulation)."""
        yield

    def each(self, value: T) -> list[T]:
        """Return the `value`, plain or a tensor on the CPU, of every worker, in their order."""
        return [value]

    def gather(self, x: Tensor) -> Tensor:
        """Put the parts `x` `[n, ...]` of all workers together, differentiably.

        Worker r holds samples r, r + world_size, ... of a batch; the result is in its order.
        """
        return x

    def sum(self, x: Tensor) -> Tensor:
        """Sum `x` over the workers; no gradient."""
        return x

    def max(self, x: Tensor) -> Tensor:
        """Maximum of each entry of `x` over the workers, NaN if any is; no gradient."""
        return x

    def collect(self, x: Tensor) -> Tensor:
        """Put the rows `[n, ...]` of all workers, as many as each has, behind one another."""
        return x

    def report(self, progress: Progress) -> None:
        """Take notice of progress; called often, must be cheap."""

    def asked(self) -> Request:
        """Return what is wanted now: nothing, a checkpoint, or one and then the end.

        All workers call it equally often, and get the same answer.
        """
        return ""

    def save(self, state: Callable[[], dict[str, Any]], *, force: bool = False) -> None:
        """Keep `state()` as the point to resume from; may skip it unless `force`.

        All workers call it alike, and `state` may put together what each of them has.
        """

    def restore(self) -> dict[str, Any] | None:
        """Return the last saved state, or None."""
        return None

    def set_aside(self, why: str) -> None:
        """The last saved state cannot be used; called by all workers."""
