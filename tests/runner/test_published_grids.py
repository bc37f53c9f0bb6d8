"""Grids of published settings stay what they are, whatever the defaults become."""

from __future__ import annotations

import pytest

from runner.config import load_grid
from runner.grid_files import read_grid
from xmft.methods.alignment_stage import AlignmentConfig
from xmft.methods.variants import method_of, options_of

PUBLISHED = {"patches": "published", "amplitude": False, "dense_head": "published"}
# What the published codes do not have. Where a default becomes another one, those grids say this.
UNKNOWN = {
    "overlap": 0.0,
    "stem": "none",
    "refine": False,
    "residual": False,
    "base": "mean",
    "base_seen": False,
    "canonical": False,
    "schedule": "linear",
    "decay_all": True,
    "layer_decay": 1.0,
    "average": 0.0,
    "loss": "task",
    "augment": "none",
    "encoder": "all",
    "train_samples": None,
}


@pytest.mark.parametrize("name", ["pdebench", "nasbench360", "full"])
def test_embedders_of_published_grids_are_the_published_ones(name: str) -> None:
    grid = load_grid(name)
    for method in grid.methods:
        wanted = PUBLISHED | UNKNOWN
        if method == "recraft:released":
            wanted["patches"] = "redrawn"
        for task in grid.tasks:
            recipe = grid.recipe_of(task, method)
            if "patches" in method_of(method).ignores:
                continue
            assert {field: getattr(recipe, field) for field in wanted} == wanted, (task, method)


@pytest.mark.parametrize("name", ["pdebench", "nasbench360", "full"])
def test_the_rate_of_stage_1_is_the_published_one(name: str) -> None:
    grid = load_grid(name)
    aligning = [m for m in grid.methods if issubclass(method_of(m).Config, AlignmentConfig)]
    assert {"orca", "mona", "recraft"} <= set(aligning)
    assert all(options_of(m, grid.options)["alignment_rate"] is None for m in aligning)


@pytest.mark.parametrize("name", ["pdebench", "nasbench360"])
def test_they_say_so_themselves(name: str) -> None:
    content, _ = read_grid(name)
    assert content["recipe"].items() >= PUBLISHED.items()
