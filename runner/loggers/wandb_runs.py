"""Cells as runs of Weights & Biases."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Literal, cast

from runner.loggers.record import CellRecord

_DONE = "xmft-whole"  # the mark of a run whose last line was written
_LONGEST_S = 30.0


class WandbRuns:
    """One run for each cell in the project `xmft`, or that of WANDB_PROJECT.

    They are in `wandb/` of the results, or of WANDB_DIR, for `wandb sync`; nothing goes over the
    network unless WANDB_MODE is `online`.
    """

    def __init__(self, folder: Path | None) -> None:
        """Prepare.

        Args:
            folder: Of the results; None if it is on an object store.
        """
        import wandb

        self._wandb: Any = wandb
        place = os.environ.get("WANDB_DIR") or folder
        assert place is not None, "checked before the run"
        self._place = Path(place)  # it makes a folder `wandb` there
        self._place.mkdir(parents=True, exist_ok=True)
        self._mode = cast(
            Literal["online", "offline", "disabled", "shared"],
            os.environ.get("WANDB_MODE") or "offline",
        )

    def known(self) -> dict[str, set[str]]:
        """Return the attempts that are there as a whole, by the ids of their cells."""
        found: dict[str, set[str]] = {}
        for mark in self._place.glob(f"wandb/*run-*-*-*/{_DONE}"):
            _, cell_id, attempt = mark.parent.name.rsplit("-", 2)
            found.setdefault(cell_id, set()).add(attempt)
        return found

    def write(self, record: CellRecord) -> None:
        """Write a cell, in place of other attempts at it; nothing if it is there."""
        name = f"{record.cell_id}-{record.attempt}"
        is_there = False
        for folder in sorted(self._place.glob(f"wandb/*run-*-{record.cell_id}-*")):
            if not is_there and folder.name.endswith(name) and (folder / _DONE).exists():
                is_there = True
            else:
                # What went to a server stays there; here it would be sent twice.
                shutil.rmtree(folder, ignore_errors=True)
        if is_there:
            return
        run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "xmft",
            id=name,
            name=record.name,
            dir=str(self._place),
            mode=self._mode,
            resume="allow" if self._mode == "online" else None,
            config=dict(record.facts),
            group=record.tags["task"],
            tags=[value[:64] for key, value in record.tags.items() if key in _SHOWN],
            notes=record.error[-5000:] or None,
            settings=self._wandb.Settings(
                console="off",
                silent=True,
                init_timeout=_LONGEST_S,
                disable_git=True,  # the ledger has the revision that ran
                save_code=False,
                x_disable_meta=True,
                x_disable_stats=True,  # of this process, which trains nothing
            ),
        )
        for epoch, values in record.curves.items():
            run.log({"epoch": epoch, **values}, step=epoch)
        run.summary.update({**record.tags, **record.scores})
        written = Path(run.dir).parent
        run.finish(exit_code=0 if record.ok else 1)
        if written.is_dir():
            (written / _DONE).touch()


_SHOWN = ("suite", "method", "backbone", "protocol", "data_origin")
