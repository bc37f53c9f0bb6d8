"""What the ledger holds of the error floor of a cell's data."""

from __future__ import annotations

from pathlib import Path

from benchmarks.data import load
from runner.ledger import Ledger
from runner.results import results
from tests.runner.cells import Attempt, JobOf, PlanOne, rows_of
from xmft.floor import floor_of
from xmft.task import Recipe


def test_a_computed_floor_leaves_its_spread(
    plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger, data_root: Path
) -> None:
    item = plan_one(tasks=["pdebench/diffusion_sorption"])
    assert attempt(job_of(item)).error is None
    rows = [r for r in rows_of(ledger, item.cell.id) if r["selection"] == "reference"]
    assert {row["metric_version"] for row in rows} == {2}
    values = {row["metric"]: row["value"] for row in rows}
    recipe = Recipe.model_validate(item.cell.recipe)
    floor = floor_of(load(item.cell.task, data_root=data_root, recipe=recipe))
    assert floor is not None
    assert values == {
        "error_floor": floor.score,
        "error_floor_median": floor.median,
        "error_floor_largest": floor.largest,
        "error_floor_samples": floor.samples,
    }
    assert 9e-4 < floor.score <= floor.largest < 1.6e-3
    (result,) = results(ledger.read())
    assert result.floor == floor.score and result.floor_spread["median"] == floor.median
