"""Where text for people goes."""

from __future__ import annotations

import sys

from rich.console import Console

# Where the output goes to a file or a pipe, tables need not fit a terminal.
console = Console(width=None if sys.stdout.isatty() else 160)
errors = Console(stderr=True)


def say(text: str) -> None:
    """Print plain text as it is: no markup, no wrapping, paths stay whole."""
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def complain(text: str) -> None:
    """Print plain text in red on standard error."""
    errors.print(text, style="red", highlight=False, soft_wrap=True, markup=False)
