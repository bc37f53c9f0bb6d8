"""What the process that drives Ray is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.plugins import Plugin


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a conductor is told.

    Attributes:
        run: Name of the run.
        results: Path or URI of the ledger.
        sizes: What cells need, fields of `Needs`; GPUs of None are one where there are any. Cells
            follow one by one, with the number of their size.
        plugins: What every process of a cell imports first.
        folder: For Ray's own files.
        most: Most cells at once.
        stall_s: Most seconds of a cell without progress.
    """

    run: str
    results: str
    sizes: list[dict[str, Any]]
    plugins: tuple[Plugin, ...]
    folder: str
    address: str | None = None
    cpus: int | None = None
    most: int | None = None
    shared_results: bool = False
    verbose: bool = False
    max_infra_retries: int = 2
    fail_fast: bool = False
    stall_s: float | None = None
