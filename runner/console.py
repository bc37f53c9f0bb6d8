"""Where text for people goes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

# Where the output goes to a file or a pipe, tables need not fit a terminal.
console = Console(width=None if sys.stdout.isatty() else 160)
errors = Console(stderr=True)


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
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def complain(text: str) -> None:
    """Print plain text in red on standard error."""
    errors.print(text, style="red", highlight=False, soft_wrap=True, markup=False)


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
        TextColumn("generating {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    hidden = not console.is_interactive  # otherwise an empty line stays in a file or a pipe
    with Progress(*columns, console=console, transient=True, disable=hidden) as bars:
        bar = bars.add_task(name, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
