from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import catalog
from runner.cell import Cell
from runner.config import Grid, load_grid
from runner.ledger import Ledger
from runner.plan import PlannedCell, make_plan, to_run
from runner.plan_table import plan_table
from tests.files import write_miniature
from tests.runner.attempts import attempt_of, score_of
from xmft.errors import RequestError
from xmft.methods import METHODS
from xmft.task import Recipe

MakeGrid = Callable[..., Grid]


def record(ledger: Ledger, cell: Cell, *, failure: str | None = None, wall_s: float = 1.0) -> None:
    score = score_of(0.5, selection="last", epoch=2)
    ledger.write_attempt(
        attempt_of(cell, score, failure=failure, data_origin="generated", wall_s=wall_s)
    )


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
    plain, released, alone = (i.cell for i in make_plan(Grid(**content), ledger, data_root))
    assert [c.method for c in (plain, released, alone)] == content["methods"]
    assert len({c.id for c in (plain, released, alone)}) == 3
    assert alone.method_config == {**plain.method_config, "distortion_weight": 0}
    predictor = {**plain.method_config["predictor"], "threshold": 0.9}
    changed = {"alignment_steps": 40, "predictor": predictor}
    assert released.method_config == {**plain.method_config, **changed}


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


def test_the_table_says_what_is_planned(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    from rich.console import Console

    grid = tiny_grid(tasks=["pdebench/advection", "nasbench360/satellite"], seeds=[0, 1])
    planned = make_plan(grid, ledger, data_root)
    record(ledger, planned[0].cell, wall_s=120.0)
    record(ledger, planned[2].cell, failure="data")
    console = Console(width=200, record=True)
    with console.capture() as captured:
        for part in plan_table(make_plan(grid, ledger, data_root)):
            console.print(part)
    lines = captured.get().splitlines()
    rows = {line.split()[0]: line for line in lines if line.strip()}
    assert "done" in rows[planned[0].cell.id]
    assert "120 s" in rows[planned[1].cell.id]
    assert "to run" in rows[planned[1].cell.id]
    assert "failed (data)" in rows[planned[2].cell.id]
    assert "missing" in rows[planned[2].cell.id]
    assert "~" in rows[planned[2].cell.id]
    assert "4 cells: 1 done, 1 failed, 2 to run" in captured.get()
    assert "xmft data fetch nasbench360/satellite" in captured.get()


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ({"layers": 9}, "layers=9 (pdebench/advection), but backbone 'tiny-sequence' has 2"),
        ({"max_tokens": 129}, "max_tokens=129 (pdebench/advection), but backbone"),
    ],
)
def test_what_fails_in_every_cell_is_refused_at_once(
    tiny_grid: MakeGrid,
    ledger: Ledger,
    data_root: Path,
    recipe: dict[str, int],
    sentence: str,
) -> None:
    with pytest.raises(RequestError) as caught:
        make_plan(tiny_grid(recipe=recipe), ledger, data_root)
    assert sentence in str(caught.value)


def test_a_protocol_is_part_of_the_cell_and_of_its_data(
    plan_one: Callable[..., PlannedCell],
) -> None:
    clean, released = (plan_one(protocol=name) for name in ("clean", "released"))
    assert (clean.cell.protocol, released.cell.protocol) == ("clean", "released")
    assert clean.cell.data != released.cell.data


def test_a_protocol_that_a_task_does_not_have_is_refused(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(tasks=["nasbench360/satellite"], protocol="released")
    with pytest.raises(RequestError, match="released"):
        make_plan(grid, ledger, data_root)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_planned_with_what_concerns_it(
    name: str, plan_one: Callable[..., PlannedCell]
) -> None:
    item, method = plan_one(methods=[name]), METHODS[name]
    cell = item.cell
    assert (cell.method, cell.method_version) == (name, method.version)
    assert set(cell.recipe) == set(Recipe.model_fields) - method.ignores
    assert (cell.backbone, len(cell.weights)) == (
        ("tiny-sequence", 64) if method.uses_backbone else ("none", 4)
    )
    assert (cell.source is not None) == method.uses_source
    assert item.expected_s > 0


@pytest.mark.parametrize("name", ["fno", "unet", "identity", "mean"])
def test_a_grid_of_baselines_needs_no_backbone(
    name: str, plan_one: Callable[..., PlannedCell]
) -> None:
    cells = [
        plan_one(methods=[name], **changes).cell
        for changes in (
            {},
            {"backbone": "swin-base"},
            {"backbone": "not there"},
            {"recipe": {"layers": 99}},
            {"recipe": {"max_tokens": 9999}},
        )
    ]
    assert {cell.id for cell in cells} == {cells[0].id}
    assert (cells[0].backbone, cells[0].weights, cells[0].source) == ("none", "none", None)


@pytest.mark.parametrize("name", ["fno", "unet", "identity", "mean"])
def test_baselines_are_for_dense_tasks(
    name: str, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(tasks=["pdebench/advection", "nasbench360/satellite"], methods=["nft", name])
    with pytest.raises(RequestError) as caught:
        make_plan(grid, ledger, data_root)
    assert str(caught.value) == (
        f"Method '{name}' is for dense tasks, but 'nasbench360/satellite' is a classification "
        "task. Leave out one of them with --methods or --tasks."
    )


def test_a_missing_package_is_a_wrong_request(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "neuralop" else find(name)
    )
    make_plan(tiny_grid(methods=["nft", "unet", "mean"]), ledger, data_root)
    with pytest.raises(RequestError, match=r"pip install 'xmft\[operators\]'"):
        make_plan(tiny_grid(methods=["nft", "fno"]), ledger, data_root)


def test_what_costs_nothing_is_expected_to(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(methods=["mean", "nft", "unet"], recipe={"epochs": 100, "max_tokens": 64})
    planned = to_run(make_plan(grid, ledger, data_root), retry_failed=False, force=False)
    assert planned[-1].cell.method == "mean"


@pytest.fixture
def backbone_folder(tmp_path: Path) -> str:
    """A second backbone: another seed's worth of the tiny one, as a folder."""
    from transformers import BertConfig, BertModel

    folder = tmp_path / "backbone"
    config = BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    BertModel(config).save_pretrained(folder)
    return str(folder)


def test_a_task_may_have_a_backbone_of_its_own(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path, backbone_folder: str
) -> None:
    tasks = ["pdebench/advection", "pdebench/diffusion_reaction_1d"]
    grid = tiny_grid(
        tasks=tasks,
        methods=["nft", "fno"],
        per_task={tasks[1]: {"backbone": backbone_folder, "epochs": 3}},
    )
    cells = {(i.cell.task, i.cell.method): i.cell for i in make_plan(grid, ledger, data_root)}
    assert cells[tasks[0], "nft"].backbone == "tiny-sequence"
    own = cells[tasks[1], "nft"]
    assert (own.backbone, own.recipe["epochs"]) == (backbone_folder, 3)
    assert own.weights != cells[tasks[0], "nft"].weights
    assert "backbone" not in own.recipe
    assert {cells[task, "fno"].backbone for task in tasks} == {"none"}
    # Each task is checked against its own.
    with pytest.raises(RequestError, match=r"max_tokens=17 \(pdebench/diffusion_reaction_1d\)"):
        make_plan(
            tiny_grid(**{**grid.model_dump(), "recipe": {"max_tokens": 17}}), ledger, data_root
        )


def test_an_unknown_source_of_one_task_is_refused(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(per_task={"pdebench/advection": {"source": "stdlib-doks"}})
    with pytest.raises(RequestError, match="Did you mean 'stdlib-docs'"):
        make_plan(grid, ledger, data_root)


def test_the_published_grid_says_which_backbone_it_lacks(
    ledger: Ledger, data_root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RequestError, match="Backbone 'roberta-base' could not be fetched"):
        make_plan(load_grid("pdebench"), ledger, data_root)


def test_a_vision_backbone_has_any_number_of_tokens_and_all_its_layers(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(
        tasks=["pdebench/darcy"], methods=["nft"], backbone="tiny-swin", recipe={"max_tokens": 9999}
    )
    assert len(make_plan(grid, ledger, data_root)) == len(grid.seeds)
    grid = tiny_grid(
        tasks=["pdebench/darcy"], methods=["nft"], backbone="tiny-swin", recipe={"layers": 1}
    )
    message = r"layers=1 \(pdebench/darcy\), but backbone 'tiny-swin' is a Swin"
    with pytest.raises(RequestError, match=message):
        make_plan(grid, ledger, data_root)


def test_a_vision_backbone_on_a_task_of_one_axis_is_refused(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    changes = {"backbone": "tiny-swin", "source": "procedural-images"}
    for task in ("pdebench/advection", "nasbench360/satellite"):
        grid = tiny_grid(tasks=["pdebench/darcy", task], methods=["nft"], **changes)
        with pytest.raises(RequestError) as caught:
            make_plan(grid, ledger, data_root)
        for part in ("'tiny-swin' reads images", f"task '{task}' have one axis", "minilm"):
            assert part in str(caught.value)
    # Nothing is wrong where the task has a text encoder of its own, or nobody asks for one.
    own = {"pdebench/advection": {"backbone": "tiny-sequence"}}
    tasks = ["pdebench/darcy", "pdebench/advection"]
    assert make_plan(
        tiny_grid(tasks=tasks, methods=["nft"], per_task=own, **changes), ledger, data_root
    )
    assert make_plan(tiny_grid(tasks=tasks, methods=["unet"], **changes), ledger, data_root)


@pytest.mark.parametrize("name", catalog.names())
def test_the_number_of_axes_is_that_of_the_name(name: str) -> None:
    two = ("darcy", "shallow_water", "_2d")
    assert catalog.get(name).axes == (2 if name.endswith(two) else 1)
