"""Commands whose list options take several values: `--methods nft orca`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from typer.core import TyperCommand

_LISTS = (
    "--tasks",
    "--methods",
    "--seeds",
    "--set",
    "--head-trained",
    "--kinds",
    "--log",
    "--results",
)
# In the context of a command whose words are completed: the list option that may go on.
_OPEN = "xmft.open_list"


class ListCommand(TyperCommand):
    """A command whose list options take several values: `--methods nft orca`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before every further value, which is the form that click knows."""
        takes_argument = any(p.param_type_name == "argument" for p in self.params)
        if takes_argument and (not args or args[0].startswith("-")):
            # Only behind GRID: in front of it nobody could tell the last value from it.
            return super().parse_args(ctx, args)
        several = {name for p in self.params if getattr(p, "multiple", False) for name in p.opts}
        args, ctx.meta[_OPEN] = _repeated(args, several.intersection(_LISTS))
        if ctx.resilient_parsing and args[-1:] == [ctx.meta[_OPEN]]:
            # Its value is being completed; without one, nothing in front of it would be read.
            args = args[:-1]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Complete a further value of a list option, or what every command completes."""
        for param in self.params:
            if ctx.meta.get(_OPEN) in param.opts and not incomplete.startswith("-"):
                return param.shell_complete(ctx, incomplete)
        return super().shell_complete(ctx, incomplete)


def _repeated(args: list[str], lists: Collection[str]) -> tuple[list[str], str]:
    """Turn `--methods a b`, or `--methods=a b`, into one option for each value.

    Also return a list left open.
    """
    repeated: list[str] = []
    option, values = "", 0
    for arg in args:
        if arg.startswith("-"):
            name, assigned, _ = arg.partition("=")
            option, values = name if name in lists else "", len(assigned)
        elif option:
            values += 1
            if values > 1:
                repeated.append(option)
        repeated.append(arg)
    return repeated, option
