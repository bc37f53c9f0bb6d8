"""From a grid to cells and their states."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import catalog
from runner.config import Grid
from runner.ledger import Ledger
from runner.plan import PlannedCell, make_plan, remarks_of, to_run
from tests.files import write_miniature
from tests.runner.plans import (
    MakeGrid,
    record,
)
from xmft.errors import RequestError
from xmft.methods import METHODS


def files_under(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
    }


def test_every_combination_is_one_cell(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    tasks = ["pdebench/advection", "pdebench/darcy:beta1.0"]
    grid = tiny_grid(tasks=tasks, methods=["nft", "recraft"], seeds=[0, 1, 2])
    planned = make_plan(grid, ledger, data_root)
    assert [(item.cell.task, item.cell.method, item.cell.seed) for item in planned] == [
        (task, method, seed) for task in tasks for method in ("nft", "recraft") for seed in range(3)
    ]
    assert len({item.cell.id for item in planned}) == 12
    assert {item.state for item in planned} == {"missing"}
    assert {(i.cell.method, i.cell.source) for i in planned} == {
        ("nft", None),
        ("recraft", f"stdlib-docs@CPython-{platform.python_version()}"),
    }
    assert [*planned[0].cell.metric_versions] == [*catalog.get(tasks[0]).task.metrics]
    assert planned[0].cell.recipe["epochs"] == 2


def test_variants_are_methods_with_options_of_their_own(
    tiny_content: Callable[..., dict[str, Any]],
    ledger: Ledger,
    data_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    presets = {"released": {"alignment_steps": 60, "predictor": {"threshold": 0.9}}}
    monkeypatch.setattr(METHODS["recraft"], "presets", presets)
    content = tiny_content(methods=["recraft", "recraft:released", "recraft:alone"])
    content["options"] = {
        **content["options"],
        "recraft:released": {"alignment_steps": 40},
        "recraft:alone": {"distortion_weight": 0},
    }
    planned = make_plan(Grid(**content), ledger, data_root)
    plain, released, alone = (item.cell for item in planned)
    assert [c.method for c in (plain, released, alone)] == content["methods"]
    assert len({c.id for c in (plain, released, alone)}) == 3
    assert alone.method_config == {**plain.method_config, "distortion_weight": 0}
    predictor = {**plain.method_config["predictor"], "threshold": 0.9}
    changed = {"alignment_steps": 40, "predictor": predictor}
    assert released.method_config == {**plain.method_config, **changed}
    # What is said of the preset itself counts; of the method alone it does not: the plan says so.
    assert not any("its preset says" in remark for remark in remarks_of(planned))
    del content["options"]["recraft:released"]
    content["options"]["recraft"] = {**content["options"]["recraft"], "alignment_steps": 30}
    (remark,) = (r for r in remarks_of(make_plan(Grid(**content), ledger, data_root)) if "its" in r)
    assert remark == (
        "recraft:released: its preset says alignment_steps 60, not options.recraft's 30; say it "
        "under options 'recraft:released' to have it."
    )


@pytest.mark.parametrize(
    ("methods_", "sentence"),
    [
        (["recraft:relesed"], "Method 'recraft' has no variant 'relesed'. Did you mean 'released'"),
        (["recraft:mine"], "needs an entry 'recraft:mine' under options"),
        (["recraf:released"], "Unknown method 'recraf'"),
    ],
)
def test_unknown_variants_are_refused(
    tiny_grid: MakeGrid,
    ledger: Ledger,
    data_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    methods_: list[str],
    sentence: str,
) -> None:
    monkeypatch.setattr(METHODS["recraft"], "presets", {"released": {}})
    with pytest.raises(RequestError) as caught:
        make_plan(tiny_grid(methods=methods_), ledger, data_root)
    assert sentence in str(caught.value)


def test_states_come_from_the_ledger(tiny_grid: MakeGrid, ledger: Ledger, data_root: Path) -> None:
    grid = tiny_grid(seeds=[0, 1, 2, 3])
    first = make_plan(grid, ledger, data_root)
    record(ledger, first[0].cell)
    record(ledger, first[1].cell, failure="infra")
    record(ledger, first[1].cell, failure="oom")
    record(ledger, first[2].cell, failure="code")
    record(ledger, first[2].cell)
    second = make_plan(grid, ledger, data_root)
    assert [item.cell for item in second] == [item.cell for item in first]
    assert [(item.state, item.failure) for item in second] == [
        ("done", None),
        ("failed", "oom"),
        ("done", None),
        ("missing", None),
    ]


def test_another_recipe_is_another_cell(
    tiny_grid: MakeGrid, plan_one: Callable[..., PlannedCell], ledger: Ledger
) -> None:
    record(ledger, plan_one().cell)
    assert plan_one().state == "done"
    assert plan_one(recipe={"epochs": 3}).state == "missing"


FAILURES = ("oom", "infra", "data", "code", "timeout", "diverged")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"missing", "infra", "data"}),
        ({"retry_failed": True}, {"missing", *FAILURES}),
        ({"force": True}, {"done", "missing", *FAILURES}),
        ({"force": True, "retry_failed": True}, {"done", "missing", *FAILURES}),
    ],
)
def test_what_runs_again(
    tiny_grid: MakeGrid,
    ledger: Ledger,
    data_root: Path,
    options: dict[str, bool],
    expected: set[str],
) -> None:
    grid = tiny_grid(seeds=list(range(8)))
    cells = [item.cell for item in make_plan(grid, ledger, data_root)]
    outcomes: list[str | None] = [*FAILURES, None]
    for cell, failure in zip(cells, outcomes, strict=False):
        record(ledger, cell, failure=failure)
    names = dict(zip((cell.id for cell in cells), [*FAILURES, "done", "missing"], strict=True))
    planned = make_plan(grid, ledger, data_root)
    chosen = to_run(planned, **{"retry_failed": False, "force": False, **options})
    assert {names[item.cell.id] for item in chosen} == expected
    assert len(chosen) == len(expected)


def test_missing_data_are_a_problem_of_the_cell(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(tasks=["nasbench360/satellite", "pdebench/advection"])
    satellite, advection = make_plan(grid, ledger, data_root)
    assert satellite.source is None
    assert satellite.cell.data == "missing"
    assert satellite.problem is not None
    for part in ("satellite_train.npy", str(data_root), "xmft data fetch nasbench360/satellite"):
        assert part in satellite.problem
    assert advection.problem is None
    assert advection.source is not None
    assert advection.source.origin == "generated"
    assert not advection.source.ready
    assert to_run([satellite], retry_failed=False, force=False) == [satellite]


def test_data_that_appear_make_another_cell(
    plan_one: Callable[..., PlannedCell], data_root: Path
) -> None:
    generated = plan_one()
    path = write_miniature(catalog.get("pdebench/advection"), data_root, samples=40, points=32)
    present = plan_one()
    assert present.source is not None
    assert (present.source.origin, present.source.files) == ("miniature", (path,))
    assert present.cell.id != generated.cell.id
    path.write_bytes(path.read_bytes()[:3000])
    broken = plan_one()
    assert broken.cell.data == "missing"
    assert broken.problem is not None
    assert str(path) in broken.problem
    assert "truncated" in broken.problem


def test_longest_expected_first(tiny_grid: MakeGrid, ledger: Ledger, data_root: Path) -> None:
    tasks = ["pdebench/advection", "pdebench/darcy", "pdebench/diffusion_reaction_1d"]
    grid = tiny_grid(
        tasks=tasks, per_task={tasks[1]: {"epochs": 50}, tasks[2]: {"samples": 400}}, seeds=[0, 1]
    )
    chosen = to_run(make_plan(grid, ledger, data_root), retry_failed=False, force=False)
    assert [item.cell.task for item in chosen] == [
        *[tasks[1]] * 2,  # 25 times the epochs
        *[tasks[2]] * 2,  # 10 times the samples
        *[tasks[0]] * 2,
    ]
    assert all(item.expected_s > 0 and not item.measured for item in chosen)


def test_measured_times_replace_the_guess(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(methods=["nft", "scratch"], seeds=[0, 1, 2, 3])
    cells = {(i.cell.method, i.cell.seed): i.cell for i in make_plan(grid, ledger, data_root)}
    for seed, seconds in enumerate((10.0, 1000.0, 40.0)):
        record(ledger, cells["nft", seed], wall_s=seconds)
    record(ledger, cells["nft", 3], failure="timeout", wall_s=9999.0)  # says nothing
    planned = make_plan(grid, ledger, data_root)
    nft = [item for item in planned if item.cell.method == "nft"]
    scratch = [item for item in planned if item.cell.method == "scratch"]
    assert [(item.expected_s, item.measured) for item in nft] == [(40.0, True)] * 4
    assert not any(item.measured for item in scratch)
    assert to_run(planned, retry_failed=True, force=False)[0] is nft[3]
    # Another recipe takes another time.
    longer = make_plan(tiny_grid(recipe={"epochs": 4}), ledger, data_root)
    assert not longer[0].measured


def test_measured_times_are_found_by_the_name_of_the_published_variant(
    plan_one: Callable[..., PlannedCell], ledger: Ledger
) -> None:
    item = plan_one(tasks=["pdebench/advection:beta0.4"])
    record(ledger, item.cell, wall_s=40.0)
    assert plan_one(tasks=["pdebench/advection:beta0.4"]).expected_s == 40.0


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [0, 0]},
        {"methods": ["nft", "nft"]},
        {"tasks": ["pdebench/advection", "pdebench/advection:beta0.4"]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_no_cell_is_planned_twice(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path, changes: dict[str, Any]
) -> None:
    ids = [item.cell.id for item in make_plan(tiny_grid(**changes), ledger, data_root)]
    assert len(ids) == len(set(ids))


def test_the_plan_changes_no_file_but_caches(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path, tmp_path: Path, cache: Path
) -> None:
    write_miniature(catalog.get("pdebench/advection"), data_root, samples=40, points=32)
    grid = tiny_grid(
        tasks=["pdebench/advection", "pdebench/darcy", "nasbench360/satellite"],
        methods=["nft", "recraft"],
    )
    record(ledger, make_plan(grid, ledger, data_root)[0].cell)
    before = {folder: files_under(folder) for folder in (data_root, tmp_path / "results")}
    make_plan(grid, ledger, data_root)
    assert before == {folder: files_under(folder) for folder in before}
    assert [path.name for path in cache.iterdir()] == ["fingerprints.json"]
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "data", "results"}


def test_the_plan_is_the_same_the_second_time(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(methods=["nft", "recraft"], seeds=[0, 1])
    assert make_plan(grid, ledger, data_root) == make_plan(grid, ledger, data_root)
