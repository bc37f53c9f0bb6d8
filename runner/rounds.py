"""The rounds of a run: a grid with a search has several, any other has one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from runner.apart import apart
from runner.config import Grid
from runner.feed import Job
from runner.ledger import Ledger
from runner.loggers.choice import TENSORBOARD
from runner.options import RunOptions
from runner.planned import PlannedCell
from runner.prepare import Ready, prepare


class Rounds:
    """What a run consists of, round by round.

    Each round is planned from the ledger alone, as the first one of another run would be.

    Attributes:
        ready: The latest plan.
        sizes: What cells need, see `runner.resources.wish`; grows with the rounds.
    """

    def __init__(self, grid: Grid, ledger: Ledger, data_root: Path, options: RunOptions) -> None:
        """Plan the first round.

        Raises:
            RequestError: the request is wrong.
        """
        self._grid, self._ledger = grid, ledger
        self._data_root, self._options = data_root, options
        self._tried: set[str] = set()
        self.sizes: list[dict[str, Any]] = []
        self.ready: Ready = apart(prepare, grid, ledger.uri, data_root, options)

    @property
    def further(self) -> Callable[[], list[tuple[int, Job]]] | None:
        """Plans what follows from the trials of the latest round; None without a search."""
        return None if self._grid.search is None else self._further

    def jobs(self) -> list[tuple[int, Job]]:
        """Return the cells of this round, with the numbers of their sizes."""
        return [self._job(item) for item in self.ready.chosen]

    def _further(self) -> list[tuple[int, Job]]:
        if not any(item.cell.trial for item in self.ready.chosen):
            return []
        self._tried |= {item.cell.id for item in self.ready.chosen}
        self.ready = apart(
            prepare, self._grid, self._ledger.uri, self._data_root, self._options, self._tried
        )
        return self.jobs()

    def _job(self, item: PlannedCell) -> tuple[int, Job]:
        wish = self.ready.wishes[item.cell.id]
        if wish not in self.sizes:
            self.sizes.append(wish)
        job = {
            "config_json": item.cell.config_json,
            "data_root": self.ready.data_root,
            "results": self._ledger.uri,
            "backbone": item.backbone,
            "problem": item.problem,
            "workers": wish["workers"],
            "sharding": wish["sharding"],
            "invocation": {
                **self.ready.told,
                "backbone": item.backbone,
                "workers": wish["workers"],
                "threads": wish["cpus"],
                "sharding": wish["sharding"],
            },
            "timeout_s": self._options.timeout_s,
            "keep_checkpoints": self._options.keep_checkpoints,
            "tensorboard": TENSORBOARD in self._options.log,
        }
        return self.sizes.index(wish), {"cell_id": item.cell.id, "job": job}
