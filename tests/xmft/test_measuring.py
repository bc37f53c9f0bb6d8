"""Measuring the bound is an option, and no part of a method's own time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.xmft.conftest import assemble_cell, build_cell
from xmft.methods import METHODS
from xmft.records import FitResult
from xmft.task import Recipe, TaskData
from xmft.training import Assembled

Train = Callable[..., tuple[Any, FitResult]]


def predictors(cache: Path) -> int:
    return len(list((cache / "source").glob("predictor-*.pt")))


def test_only_recraft_measures_unless_asked() -> None:
    measuring = {
        name for name, method in METHODS.items() if getattr(method.Config(), "measure_bound", False)
    }
    assert measuring == {"recraft", "recraft-scratch"}


@pytest.mark.parametrize("name", ["orca", "mona"])
def test_a_source_predictor_is_trained_for_the_bound_alone(
    name: str, tmp_path: Path, class_data: TaskData, recipe: Recipe
) -> None:
    off = assemble_cell(tmp_path, name, class_data, recipe)
    assert predictors(tmp_path) == 0 and off.measure_s == 0
    on = assemble_cell(tmp_path, name, class_data, recipe, measure_bound=True)
    assert predictors(tmp_path) == 1 and on.measure_s > 0


@pytest.mark.parametrize("name", ["orca", "mona", "recraft", "recraft:released"])
def test_measuring_changes_no_number_and_is_booked_on_its_own(
    name: str, cache: Path, class_data: TaskData, recipe: Recipe
) -> None:
    short = recipe.model_copy(update={"epochs": 1})

    def run(measure_bound: bool) -> tuple[Assembled, FitResult]:
        cell = assemble_cell(cache, name, class_data, short, measure_bound=measure_bound)
        return cell, cell.fit().result

    (_, without), (cell, measured) = run(False), run(True)
    assert not without.measurements and "measure" not in without.seconds
    assert {key.split("/")[1] for key in measured.measurements} == {"before", "after"}
    assert measured.seconds["measure"] > cell.measure_s
    assert measured.own_seconds == pytest.approx(sum(measured.seconds.values()))
    assert without.scores == measured.scores and without.curves == measured.curves


def test_what_measuring_needs_is_made_when_it_is_first_asked_for(
    tmp_path: Path, class_data: TaskData, recipe: Recipe
) -> None:
    model, (stage, _) = build_cell(tmp_path, "orca", class_data, recipe, measure_bound=True)
    assert stage.measure is not None and "w2" in stage.measure(model)
