"""What a shell completes: names of grids, tasks and methods, and further values of a list option.

A key was pressed and somebody waits. So names are read out of the shipped grids, which hold every
task and method, and out of the grid of the command line, and neither torch nor the catalogue is
loaded. What cannot be read is not proposed; the command itself says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from xmft.errors import RequestError


def grids(incomplete: str) -> list[str]:
    """Return the shipped grids that begin so; a shell proposes files by itself."""
    from runner.grid_files import shipped_grids

    return _beginning(shipped_grids(), incomplete)


def tasks(ctx: Any, incomplete: str) -> list[str]:
    """Return the tasks that begin so, of the grid that was named or of all shipped ones."""
    return _beginning(_of_grids(ctx, "tasks"), incomplete)


def methods(ctx: Any, incomplete: str) -> list[str]:
    """Return the methods that begin so, of the grid that was named or of all shipped ones."""
    return _beginning(_of_grids(ctx, "methods"), incomplete)


def base_methods(ctx: Any, incomplete: str) -> list[str]:
    """Return the methods that begin so, without presets."""
    return [name for name in methods(ctx, incomplete) if ":" not in name]


def one_of(*values: str) -> Callable[[str], list[str]]:
    """Return what completes one of a few words."""
    return lambda incomplete: _beginning(values, incomplete)


def _of_grids(ctx: Any, key: str) -> Iterator[str]:
    from runner.grid_files import read_grid, shipped_grids

    chosen = ctx.params.get("grid")
    for name in [chosen] if chosen else shipped_grids():
        try:
            content, _ = read_grid(name)
        except RequestError:
            continue
        names = content.get(key)
        yield from (str(one) for one in names) if isinstance(names, list) else ()


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})
