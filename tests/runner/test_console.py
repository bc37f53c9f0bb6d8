"""What is printed when somebody presses Ctrl-C in the middle of it."""

from __future__ import annotations

import io

import pytest

from runner.console import VisibleConsole


class Interrupted(io.StringIO):
    """A stream whose first flush is interrupted."""

    interrupted = False

    def flush(self) -> None:
        if not self.interrupted:
            self.interrupted = True
            raise KeyboardInterrupt


def test_what_an_interrupt_cut_short_is_printed_once() -> None:
    stream = Interrupted()
    console = VisibleConsole(file=stream)
    with pytest.raises(KeyboardInterrupt):
        console.print("Ctrl-C ends it.")
    console.print("Ended.")
    assert stream.getvalue() == "Ctrl-C ends it.\nEnded.\n"
