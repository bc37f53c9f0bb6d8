"""Functions in processes of their own: copies, new interpreters, or this one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# In a process without torch and threads, as the one that drives a run.
SCRIPT = """
import os, signal, sys, threading
import psutil
from runner.apart import apart
from runner.terminations import Terminated, terminations
from xmft.errors import RequestError
from tests.runner.test_apart import fails, is_ended, place, sleeps

how = sys.argv[1]
if how == "library":  # as pyarrow's readers do
    import pyarrow.compute
    import pyarrow as pa
    pa.compute.sum(pa.chunked_array([list(range(9))] * 9))
    pa.table({"a": list(range(9))}).group_by("a").aggregate([("a", "sum")])
    assert psutil.Process().num_threads() > 1 == threading.active_count()
if how == "thread":
    threading.Thread(target=threading.Event().wait, daemon=True).start()
number, text = apart(place, "told")
assert text == "told"
assert (number == os.getpid()) == (how == "thread"), how
try:
    apart(fails)
    raise AssertionError
except RequestError as error:
    assert str(error) == "It is wrong."
if how != "thread":
    try:
        apart(is_ended)
        raise AssertionError
    except RuntimeError as error:
        assert "ended from outside (exit code -9)" in str(error)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    signal.alarm(2)
    try:
        with terminations():
            apart(sleeps)
        raise AssertionError
    except Terminated:
        assert not psutil.Process().children()
print("fine")
"""


def place(text: str) -> tuple[int, str]:
    return os.getpid(), text


def fails() -> None:
    from xmft.errors import RequestError

    raise RequestError("It is wrong.")


def is_ended() -> None:
    os.kill(os.getpid(), 9)


def sleeps() -> None:
    import time

    time.sleep(60)


@pytest.mark.parametrize("how", ["alone", "library", "thread"])
def test_answers_errors_and_ends_come_back(how: str) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "fine\n" and done.stderr == "", done.stderr
