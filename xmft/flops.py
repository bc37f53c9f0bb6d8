"""Counts the floating-point operations of a run, without slowing it.

A step of training is counted as it happens, forward and backward, once for each epoch and each size
of a batch; the others of that size are taken to be like it. Likewise the first forward pass of each
shape when the model is scored. All workers are summed up. What `xmft.flop_formulas` knows is
counted; work outside of torch is what it says itself (`add`). Where an operator is met that nobody
knows, the number is None from there on, and not too low.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from xmft.flop_formulas import flops_of
from xmft.session import Session
from xmft.stages import Stage

T = TypeVar("T")

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd
_ACCOUNTS = ("align", "fit", "eval")


class Count:
    """A number that grows, and may become unknown.

    Attributes:
        total: The operations; None where some are unknown.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.total: int | None = 0

    def add(self, number: int | None) -> None:
        """Take in some more."""
        self.total = plus(self.total, number)


_CURRENT: ContextVar[Count | None] = ContextVar("flops", default=None)


def plus(*numbers: int | None) -> int | None:
    """Return the sum; None if one is unknown."""
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def over_workers(session: Session, number: int | None) -> int | None:
    """Return the sum of a number over all workers, who call it alike."""
    return plus(*session.each(number))


def add(number: int | None) -> None:
    """Say how many operations were done outside of torch; None: nobody knows.

    Does nothing where nobody counts.
    """
    count = _CURRENT.get()
    if count is not None:
        count.add(number)


@contextmanager
def counted(*, compiled: bool = False) -> Iterator[Count]:
    """Count what happens inside; the count is whole at the end.

    Args:
        compiled: Whether something inside is compiled. It runs as it is written for once: what
            was compiled does not say what it does.
    """
    plain = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
    count = Count()
    token = _CURRENT.set(count)
    try:
        with plain, _Mode(count):
            yield count
    finally:
        _CURRENT.reset(token)


def uncounted(made: Callable[[], T]) -> T:
    """Return what is made, without counting: what is made once for many cells belongs to none."""
    token = _CURRENT.set(None)
    try:
        with _disable_current_modes():
            return made()
    finally:
        _CURRENT.reset(token)


class _Mode(TorchDispatchMode):
    """Looks at every operator that torch calls, and changes nothing.

    `FlopCounterMode` of torch ends a training where a formula fails, passes what it does not know
    as nothing, and follows modules, which is not needed here; its formulas are used.
    """

    supports_higher_order_operators = True

    def __init__(self, count: Count) -> None:
        super().__init__()
        self._count = count

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _is_composite(func):
            with self:  # of what it is made of; inference alone leaves it whole
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        out = func(*args, **kwargs)
        # Gradients of a GPU are computed in a thread that knows no context.
        if _CURRENT.get(self._count) is not None:
            self._count.add(flops_of(func, args, kwargs, out))
        return out


def _is_composite(func: Any) -> bool:
    known = torch._C._dispatch_has_kernel_for_dispatch_key
    return isinstance(func, torch._ops.OpOverload) and known(func.name(), _COMPOSITE)


@dataclass(kw_only=True)
class Counts:
    """What a run has counted until now, over all workers; part of its checkpoint.

    Attributes:
        accounts: Operations by account, as seconds are booked; None where some are unknown.
        steps: Of a step of the epoch by the size of the batch, over all workers.
        passes: Of a forward pass of one worker by the kind of model and the shape of its inputs.
    """

    accounts: dict[str, int | None] = field(default_factory=dict)
    steps: dict[str, int | None] = field(default_factory=dict)
    passes: dict[str, int | None] = field(default_factory=dict)

    def book(self, account: str, number: int | None) -> None:
        """Add a number to an account."""
        self.accounts[account] = plus(self.accounts.get(account, 0), number)


class Meter:
    """Books the operations of a run."""

    def __init__(
        self, session: Session, counts: Callable[[], Counts | None], *, compiled: bool = False
    ) -> None:
        """Prepare.

        Args:
            session: The workers.
            counts: Where to book; None: the run was begun by a version that did not count.
            compiled: Whether the model's forward pass is compiled in training.
        """
        self._session = session
        self._counts = counts
        self._compiled = compiled

    def accounts(self) -> dict[str, int | None]:
        """Return the operations by account, for `FitResult`."""
        counts = self._counts()
        if counts is None:
            return dict.fromkeys(_ACCOUNTS)
        return dict(counts.accounts)

    @contextmanager
    def step(self, stage: Stage, epoch: int, size: int) -> Iterator[None]:
        """Count a step of training, once for each epoch and size; of all workers alike.

        Args:
            stage: What is trained.
            epoch: Of the stage. What an objective does may change as training goes on; what is
                compiled does not, and is looked at in the first alone.
            size: Samples of the global batch.
        """
        counts = self._counts()
        of_epoch = stage.name if self._compiled else f"{stage.name} {epoch}"
        key = f"{of_epoch} {size}"
        if counts is None:
            yield
            return
        if key in counts.steps:
            yield
        else:
            with counted(compiled=self._compiled) as count:
                yield
            for old in [one for one in counts.steps if not one.startswith(f"{of_epoch} ")]:
                del counts.steps[old]
            counts.steps[key] = over_workers(self._session, count.total)
        counts.book(stage.account, counts.steps[key])

    @contextmanager
    def whole(self, account: str) -> Iterator[None]:
        """Count all that happens inside; of all workers alike."""
        counts = self._counts()
        if counts is None:
            yield
            return
        with counted() as count:
            yield
        counts.book(account, over_workers(self._session, count.total))

    @contextmanager
    def scoring(self, model: nn.Module) -> Iterator[nn.Module]:
        """Yield the model to score, whose forward passes are counted; of all workers alike."""
        counts = self._counts()
        if counts is None:
            yield model
            return
        passes = _Passes(model, counts.passes)
        yield passes
        counts.book("eval", over_workers(self._session, passes.count.total))


class _Passes(nn.Module):
    """A model that is scored, and what its forward passes took."""

    def __init__(self, model: nn.Module, known: dict[str, int | None]) -> None:
        super().__init__()
        self.model = model
        self.count = Count()
        self._known = known

    def forward(self, inputs: Tensor) -> Tensor:
        """Predict."""
        key = f"{type(self.model).__name__} {' '.join(map(str, inputs.shape))}"
        if key in self._known:
            output: Tensor = self.model(inputs)
        else:
            with counted() as count:
                output = self.model(inputs)
            self._known[key] = count.total
        self.count.add(self._known[key])
        return output
