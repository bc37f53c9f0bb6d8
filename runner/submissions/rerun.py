"""Cells of a submission made again here, and compared with what was signed off."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runner.ledger import Ledger
from runner.results import Result, results
from runner.submissions.checks import Check
from runner.submissions.reading import Submission
from xmft.errors import DataError, RequestError

if TYPE_CHECKING:
    from runner.options import RunOptions

# Other processors round otherwise, and training carries it on: how far, relative, the main metric
# of a cell that was made again may be from what was signed off.
TOLERANCE = 0.05


def drawn(submission: Submission, count: int, seed: int) -> list[str]:
    """Return the ids of some finished cells, the same for the same seed; no part of a search.

    Raises:
        RequestError: there are fewer; or the submission cannot be read.
    """
    found = results(submission.read())
    cells = [cell.cell_id for cell in found if cell.state == "ok" and not cell.config.get("tuned")]
    if count > len(cells):
        raise RequestError(
            f"--rerun {count} asks for more cells than there are to make again: {len(cells)}."
        )
    return random.Random(seed).sample(cells, count)


def made_again(
    submission: Submission,
    cell_id: str,
    data_root: Path,
    options: RunOptions,
    *,
    plugins: Sequence[str] = (),
    settings: Sequence[str] = (),
    tolerance: float = TOLERANCE,
) -> Check:
    """Run a cell in a temporary folder and compare the main metric on the test split.

    Args:
        submission: Has the cell.
        cell_id: Its id, or how it begins.
        data_root: Where the data are.
        options: How to run.
        plugins: The plug-ins that it was made with.
        settings: `key=value`, such as `backbone=FOLDER`.
        tolerance: Relative, see `TOLERANCE`.

    Raises:
        RequestError: there is no such cell.
    """
    # Imported here: only those who run cells need them.
    from runner.plan import make_plan
    from runner.repeat import check_same, grid_of_cell, recorded
    from runner.run import run_grid

    cell_id = submission.find(cell_id)
    name = f"made again {cell_id}"
    with tempfile.TemporaryDirectory(prefix="xmft-verify-") as folder:
        ledger = Ledger(folder)
        try:
            grid = grid_of_cell(submission, cell_id, settings, plugins=plugins)
            check_same(recorded(submission, cell_id), make_plan(grid, ledger, data_root))
            run_grid(grid, ledger, data_root, options)
        except (RequestError, DataError) as error:
            return Check(name=name, state="failed", detail=str(error))
        now = results(ledger.read(cell_id=cell_id))
    (then,) = results(submission.read(cell_id=cell_id))
    if not now or now[0].value is None:
        why = f"{now[0].failure}: {now[0].error}" if now else "no attempt"
        return Check(name=name, state="failed", detail=f"it did not finish ({why})")
    return _compared(name, then, now[0], tolerance)


def _compared(name: str, then: Result, now: Result, tolerance: float) -> Check:
    assert now.value is not None
    what = f"{then.task} {then.method} seed {then.seed}: {then.metric}"
    if then.value is None:
        return Check(name=name, state="failed", detail=f"{what} was not signed off")
    if now.origin != then.origin:
        why = f"{what} was signed off on {then.origin} data, which are {now.origin} here"
        return Check(name=name, state="failed", detail=why)
    far = abs(now.value - then.value) / max(abs(then.value), 1e-30)
    detail = f"{what} {then.value:.8g} signed off, {now.value:.8g} here, {far:.2%} apart"
    if far <= tolerance:
        return Check(name=name, state="ok", detail=detail)
    more = f", more than the {tolerance:.0%} that are allowed"
    return Check(name=name, state="failed", detail=detail + more)
