from __future__ import annotations

from typing import Any

import pytest
import torch
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    RayTaskError,
    WorkerCrashedError,
)
from ray.train import ControllerError, WorkerGroupError

from runner.failures import CellTimeoutError, classify, describe
from xmft.errors import DataError, DivergedError, RequestError

PEOPLE = "The file x.hdf5 is truncated. Get it again."


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def while_handling(error: Exception, first: Exception) -> Exception:
    try:
        try:
            raise first
        except Exception:
            raise error  # noqa: B904 - the implicit context is what is tested
    except Exception as raised:
        return raised


def task_error(cause: Exception) -> Exception:
    """What `ray.get` raises for a task that raised `cause`."""
    wrapped: Exception = RayTaskError("train", "Traceback ...", cause).as_instanceof_cause()
    return wrapped


ERRORS: list[tuple[Any, str]] = [
    (torch.OutOfMemoryError("CUDA out of memory"), "oom"),
    (DataError(PEOPLE), "data"),
    (DivergedError("nan"), "diverged"),
    (CellTimeoutError("too long"), "timeout"),
    (RequestError("unknown"), "code"),
    (ValueError("bug"), "code"),
    (MemoryError(), "code"),
    (OSError(28, "No space left on device"), "code"),
    (ActorDiedError(), "infra"),
    (ActorUnavailableError("gone", None), "infra"),
    (WorkerCrashedError(), "infra"),
    (NodeDiedError("preempted"), "infra"),
    (ControllerError(RuntimeError("controller died")), "infra"),
]


@pytest.mark.parametrize(("error", "expected"), ERRORS, ids=lambda v: type(v).__name__)
def test_class_of_an_error(error: Exception, expected: str) -> None:
    assert classify(error) == expected


@pytest.mark.parametrize(("error", "expected"), ERRORS, ids=lambda v: type(v).__name__)
def test_class_is_found_under_what_is_wrapped_around(error: Exception, expected: str) -> None:
    assert classify(caused(RuntimeError("outer"), error)) == expected
    assert classify(caused(KeyError(1), caused(RuntimeError("outer"), error))) == expected
    assert classify(while_handling(RuntimeError("outer"), error)) == expected
    assert classify(WorkerGroupError("failed", {0: error})) == expected
    assert classify(WorkerGroupError("failed", {0: RuntimeError("peer"), 1: error})) == expected
    assert classify(WorkerGroupError("failed", {1: error, 0: RuntimeError("peer")})) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "oom"),
        (DataError(PEOPLE), "data"),
        (DivergedError("nan"), "diverged"),
        (CellTimeoutError("too long"), "timeout"),
        (ValueError("bug"), "code"),
    ],
    ids=lambda v: type(v).__name__,
)
def test_class_is_found_in_what_a_ray_task_raised(error: Exception, expected: str) -> None:
    assert classify(task_error(error)) == expected
    assert classify(WorkerGroupError("failed", {0: task_error(error)})) == expected
    assert classify(ControllerError(task_error(error))) == (
        "infra" if expected == "code" else expected
    )


def test_the_cause_counts_more_than_the_death_that_followed_it() -> None:
    failures = {0: ActorDiedError(), 1: torch.OutOfMemoryError("CUDA out of memory")}
    assert classify(WorkerGroupError("failed", failures)) == "oom"


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert classify(first) == "code"
    assert "ValueError: a" in describe(first)


@pytest.mark.parametrize("kind", [DataError, DivergedError, RequestError, CellTimeoutError])
def test_errors_for_people_are_told_without_a_traceback(kind: type[Exception]) -> None:
    error = kind(PEOPLE)
    for wrapped in (
        error,
        caused(RuntimeError("outer"), error),
        WorkerGroupError("failed", {0: error}),
        ControllerError(caused(RuntimeError("outer"), error)),
    ):
        assert describe(wrapped) == PEOPLE


@pytest.mark.parametrize("kind", [DataError, DivergedError, RequestError, CellTimeoutError])
def test_errors_for_people_are_told_so_when_a_ray_task_raised_them(kind: type[Exception]) -> None:
    assert describe(task_error(kind(PEOPLE))) == PEOPLE


def test_errors_of_the_code_are_told_with_their_traceback() -> None:
    def careless() -> None:
        _ = [][3]

    with pytest.raises(IndexError) as caught:
        careless()
    text = describe(caught.value)
    assert text.startswith("Traceback")
    assert "in careless" in text
    assert text.splitlines()[-1] == "IndexError: list index out of range"


def test_the_traceback_of_a_worker_is_not_lost() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    text = describe(caused(RuntimeError("outer"), caught.value))
    assert "ZeroDivisionError: division by zero" in text
    assert text.splitlines()[-1] == "RuntimeError: outer"


GLOO = RuntimeError("[gloo/transport/tcp/pair.cc:537] Read error: Connection reset by peer")


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ({0: GLOO}, "infra"),
        ({0: GLOO, 1: ActorDiedError()}, "infra"),
        ({0: GLOO, 1: ValueError("a bug")}, "code"),
        ({0: GLOO, 1: DataError("a bad file")}, "data"),
        ({0: GLOO, 1: torch.OutOfMemoryError("no memory")}, "oom"),
    ],
)
def test_a_closed_connection_is_a_loss_unless_a_worker_raised(
    failures: dict[int, Exception], expected: str
) -> None:
    assert classify(WorkerGroupError("failed", failures)) == expected
