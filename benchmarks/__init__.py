"""What exists: the tasks of the benchmarks, their data, grids and published numbers.

    from benchmarks import load_task, tasks

    data = load_task("pdebench/advection")

Names are imported when they are used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.catalog import add as add_task
    from benchmarks.catalog import names as tasks
    from benchmarks.data import load as load_task
    from benchmarks.entry import ArrayEntry, Entry

_HOMES = {
    "ArrayEntry": ("benchmarks.entry", "ArrayEntry"),
    "Entry": ("benchmarks.entry", "Entry"),
    "add_task": ("benchmarks.catalog", "add"),
    "load_task": ("benchmarks.data", "load"),
    "tasks": ("benchmarks.catalog", "names"),
}

__all__ = ["ArrayEntry", "Entry", "add_task", "load_task", "tasks"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'benchmarks' has no attribute '{name}'")
    home, attribute = _HOMES[name]
    return getattr(importlib.import_module(home), attribute)


def __dir__() -> list[str]:
    return list(__all__)
