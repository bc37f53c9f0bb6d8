"""Decides what to run and where, and writes down what happened.

    from runner import leaderboard, open_ledger, run_grid

    run_grid("quick", results="results", tasks=["pdebench/darcy:*"])
    leaderboard("results").to_pandas()
    open_ledger("results").to_pandas()

Names are imported when they are used: Ray is not started by an import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.interface import leaderboard, open_ledger, run_grid

_HOME = "runner.interface"

__all__ = ["leaderboard", "open_ledger", "run_grid"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'runner' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME), name)
