"""What went wrong, in the six classes of the ledger."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Literal

import torch
from torch.distributed import DistError

from runner.ledger import LedgerError
from xmft.errors import DataError, DivergedError, StoppedError, XmftError
from xmft.gradients import BatchMemoryError

FailureClass = Literal["oom", "infra", "data", "code", "timeout", "diverged"]


class CellTimeoutError(Exception):
    """A cell took longer than it was given."""


def classify(error: BaseException) -> FailureClass:
    """Return the class of an error, looking through what Ray wraps around it."""
    for cause in _causes(error):
        if isinstance(cause, torch.OutOfMemoryError):
            return "oom"
        if isinstance(cause, CellTimeoutError):
            return "timeout"
        if isinstance(cause, DivergedError):
            return "diverged"
        if isinstance(cause, DataError):
            return "data"
        if isinstance(cause, (LedgerError, StoppedError)):
            return "infra"
        if isinstance(cause, XmftError):
            return "code"
    return "infra" if _is_loss(error) else "code"


def is_stop(error: BaseException) -> bool:
    """Whether a cell ended because it was asked to, and can go on."""
    return any(isinstance(cause, StoppedError) for cause in _causes(error))


def samples_at_once(error: BaseException) -> int | None:
    """Return how many samples a worker had in its model when memory ran out, None if not there.

    It is 1 where there cannot be fewer.
    """
    for cause in _causes(error):
        if isinstance(cause, BatchMemoryError):
            return cause.samples
    return None


def _is_loss(error: BaseException) -> bool:
    """Whether processes or the connections between them were lost."""
    from ray.exceptions import NodeDiedError, RayActorError, WorkerCrashedError
    from ray.train import ControllerError

    lost = (RayActorError, WorkerCrashedError, NodeDiedError, ControllerError)
    if any(isinstance(cause, lost) for cause in _causes(error)):
        return True
    # A closed connection is what the others see when a worker goes, also when it goes with an
    # error of its own: then that one is the reason.
    failures = getattr(error, "worker_failures", {}).values() or [error]
    return all(any(_is_disconnected(c) for c in _causes(failure)) for failure in failures)


def _is_disconnected(error: BaseException) -> bool:
    return isinstance(error, DistError) or "gloo/transport" in str(error)


def describe(error: BaseException) -> str:
    """Return a sentence for errors made for people, the traceback for the others."""
    for cause in _causes(error):
        # Ray makes task errors that are instances of what they wrap, with a traceback as text.
        wrapped = hasattr(cause, "as_instanceof_cause")
        if isinstance(cause, (XmftError, CellTimeoutError)) and not wrapped:
            return str(cause)
    return "".join(traceback.format_exception(error)).strip()


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk an error and what it wraps: causes, Ray's task errors, a worker group's failures."""
    stack: list[BaseException | None] = [error]
    seen: set[int] = set()
    while stack:
        current = stack.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        stack += [current.__cause__, current.__context__, getattr(current, "cause", None)]
        stack += list(getattr(current, "worker_failures", {}).values())
        stack.append(getattr(current, "controller_failure", None))
        stack.append(getattr(current, "health_check_failure", None))
