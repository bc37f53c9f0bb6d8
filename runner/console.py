"""Where text for people goes."""

from __future__ import annotations

import codecs
import io
import logging
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from runner.visible import visible


class VisibleConsole(Console):
    """A console that shows text as it is: what others wrote moves no cursor and is no markup.

    It also says what its stream can encode, so that frames of tables follow.
    """

    def __init__(self, **options: Any) -> None:
        """Make a console; the options are those of `rich.console.Console`."""
        super().__init__(markup=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print; what an interrupt cut short is not printed again with what comes next."""
        try:
            super().print(*objects, **options)
        except KeyboardInterrupt:
            # Rich clears it behind the flush alone.
            self._buffer.clear()
            raise

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Yield segments; those that steer the terminal are rich's own."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)

    @property
    def encoding(self) -> str:
        """Name of the encoding."""
        return (getattr(self.file, "encoding", None) or "utf-8").lower()


# Where the output goes to a file or a pipe, tables need not fit a terminal.
console = VisibleConsole(width=None if sys.stdout.isatty() else 160)
errors = VisibleConsole(stderr=True)

# What symbols become where a terminal or a log cannot show them.
_PLAIN = {
    "±": "+/-",
    "↓": "v",
    "↑": "^",
    "→": "->",
    "·": "-",
    "•": "*",
    "…": "...",
    "\u2013": "-",
    "\u2014": "-",
    "\u00d7": "x",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "─": "-",
    "━": "-",
    "│": "|",
    "┃": "|",
}
# Frames of tables, bars and spinners: one character each, so that lines stay as wide as they were.
_PLAIN_RANGES = {range(0x2500, 0x2580): "+", range(0x2580, 0x25A0): "#", range(0x2800, 0x2900): "*"}
_HANDLER = "xmft.plain"


def plain_streams() -> None:
    """Let standard output and standard error print any text, whatever their encoding.

    Symbols become ASCII where the stream cannot encode them, all else becomes an escape; what it
    can encode stays as it is, and so does what a stream was told to ignore or replace.
    """
    for stream in (sys.stdout, sys.stderr):
        # A notebook has streams of its own, which take all text.
        if isinstance(stream, io.TextIOWrapper) and stream.errors in (
            "strict",
            "surrogateescape",
            "backslashreplace",
        ):
            stream.reconfigure(errors=_HANDLER)
    logging.lastResort = _Warnings(logging.WARNING)


class _Warnings(logging.Handler):
    """Prints what nobody else handles, such as what is said of files that are left out."""

    def emit(self, record: logging.LogRecord) -> None:
        remark(self.format(record))


def encodable(text: str, encoding: str) -> str:
    """Return a text with symbols that an encoding lacks replaced, before columns are measured."""
    return text.encode(encoding, _HANDLER).decode(encoding)


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_symbol, error.object[error.start : error.end])), error.end


def _symbol(character: str) -> str:
    if character in _PLAIN:
        return _PLAIN[character]
    for codes, plain in _PLAIN_RANGES.items():
        if ord(character) in codes:
            return plain
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("ascii", "backslashreplace").decode()


codecs.register_error(_HANDLER, _plain)


@contextmanager
def quiet(on: bool = True) -> Iterator[None]:
    """Print nothing inside, if asked."""
    before = console.quiet, errors.quiet
    console.quiet, errors.quiet = on or before[0], on or before[1]
    try:
        yield
    finally:
        console.quiet, errors.quiet = before


def say(text: str) -> None:
    """Print plain text as it is: no markup, no wrapping, paths stay whole."""
    console.print(visible(text), highlight=False, soft_wrap=True)


def remark(text: str) -> None:
    """Print plain text on standard error."""
    errors.print(visible(text), highlight=False, soft_wrap=True)


def complain(text: str) -> None:
    """Print plain text in red on standard error."""
    errors.print(visible(text), style="red", highlight=False, soft_wrap=True)


def hand_over(text: str) -> None:
    """Write a document to standard output, nothing added; a terminal obeys nothing in it."""
    console.file.write(visible(text))


@contextmanager
def generating(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many samples of a task are generated, in a terminal with the time left.

    Yields:
        What to call with the samples done and the samples in all.
    """
    # Imported here: commands that only ask a question need no bars.
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("generating {task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    hidden = not console.is_interactive  # otherwise an empty line stays in a file or a pipe
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
        bar = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


@contextmanager
def fetching(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show how much of a file of a task has arrived, in a terminal with the rate and time left.

    Yields:
        What to call with the bytes done and the bytes in all.
    """
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("fetching {task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    hidden = not console.is_interactive
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
        bar = bars.add_task(name, total=None)

        def update(done: int, total: int) -> None:
            known = bars.tasks[0]
            if known.total != total or done < known.completed:
                # Another file, or what was there before, neither of which is part of the rate.
                bars.reset(bar, total=total, completed=done)
            bars.update(bar, completed=done)

        yield update
