"""What a notebook asks of the runner: run a grid, open the ledger, compare its methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.files import default_data_root
from runner import run
from runner.config import Grid, load_grid, make_grid, narrowed
from runner.console import plain_streams, quiet
from runner.ledger import Ledger
from runner.ledgers import Results, open_results
from runner.options import RunOptions
from runner.report.notebook import Leaderboards
from runner.report.notebook import leaderboard as compare
from runner.run import RunSummary
from xmft.cache import lend_home
from xmft.errors import RequestError

__all__ = ["leaderboard", "open_ledger", "run_grid"]


def run_grid(
    grid: str | Path | Mapping[str, Any] | Grid,
    *,
    results: str | Path = "results",
    data: str | Path | None = None,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    settings: Sequence[str] = (),
    plugins: Sequence[str] = (),
    show: bool = False,
    **options: Any,
) -> RunSummary:
    """Run the cells of a grid that the ledger does not have yet, as `xmft run` does.

    Args:
        grid: A shipped name, a YAML file, or a mapping with the keys of one.
        results: Folder or URI of the ledger.
        data: Data root; None: `$XMFT_DATA` or ~/.cache/xmft.
        tasks: Names or globs of the tasks to run; empty for all.
        methods: Names or globs of the methods to run; empty for all.
        seeds: Seeds instead of those of the grid; None for these.
        settings: `key=value` as after `--set`.
        plugins: Modules or .py files of your own that register tasks, methods or metrics.
        show: Whether to print what `xmft run` prints.
        options: Fields of `RunOptions`: workers, threads, cpus,
            max_concurrent, address, retry_failed, ...

    Raises:
        RequestError: the request is wrong; nothing ran.
    """
    plain_streams()
    lend_home()
    if isinstance(grid, Grid):
        if settings or plugins:
            raise RequestError(
                "Settings and plug-ins are for a grid that is a name, a file or a mapping, found "
                "a Grid. Give them to load_grid, or change the Grid itself."
            )
        chosen = grid
    elif isinstance(grid, Mapping):
        chosen = make_grid(dict(grid), settings, plugins=plugins)
    else:
        chosen = load_grid(str(grid), settings, plugins=plugins)
    chosen = narrowed(chosen, tasks=tasks, methods=methods, seeds=seeds)
    root = default_data_root() if data is None else Path(data).expanduser()
    with quiet(not show):
        return run.run_grid(chosen, Ledger(results), root.absolute(), RunOptions(**options))


def open_ledger(results: str | Path = "results") -> Ledger:
    """Return the ledger in a folder or at a URI; `.read()` is Arrow, `.to_pandas()` a frame."""
    return Ledger(results)


def leaderboard(
    results: str | Path | Results | Sequence[str | Path] = "results", **query: Any
) -> Leaderboards:
    """Compare the methods of a ledger; `.to_pandas()`, `.to_arrow()` and `.to_markdown()`.

    Args:
        results: Folder, URI or ledger; several folders, URIs and submitted files are read as one.
        query: `protocol`, `selection`, `split`, `tasks`, `methods`, `seeds`.

    Raises:
        RequestError: there is nothing to compare; the message says what to run.
    """
    if isinstance(results, str | Path):
        return compare(Ledger(results), **query)
    return compare(open_results(results) if isinstance(results, Sequence) else results, **query)
