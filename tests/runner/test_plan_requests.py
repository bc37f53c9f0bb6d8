"""What a plan says of methods and backbones, and what it refuses."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import catalog
from runner.config import load_grid
from runner.ledger import Ledger
from runner.plan import PlannedCell, make_plan, remarks_of, to_run
from runner.plan_table import plan_table
from tests.runner.plans import (
    MakeGrid,
    record,
    task_for,
)
from xmft.errors import RequestError
from xmft.methods import METHODS
from xmft.task import Recipe


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
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "nasbench360/satellite"
    only = {**catalog.TASKS, name: replace(catalog.get(name), protocols=("clean",))}
    monkeypatch.setattr(catalog.TASKS, "_entries", only)
    grid = tiny_grid(tasks=[name], protocol="released")
    with pytest.raises(RequestError, match="released"):
        make_plan(grid, ledger, data_root)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_planned_with_what_concerns_it(
    name: str, plan_one: Callable[..., PlannedCell]
) -> None:
    item, method = plan_one(methods=[name], tasks=[task_for(name)]), METHODS[name]
    cell = item.cell
    assert (cell.method, cell.method_version) == (name, method.version)
    # Nothing looks beyond the edges of fields, and all training samples are learned from.
    unsaid = {"padding", "train_samples"}
    assert set(cell.recipe) == set(Recipe.model_fields) - method.ignores - unsaid
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


def test_a_grid_leaves_out_tasks_for_a_method(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    tasks = ["pdebench/advection", "pdebench/burgers", "nasbench360/satellite"]
    grid = tiny_grid(
        tasks=tasks,
        methods=["nft", "scratch", "ridge"],
        leave_out={"ridge": ["pdebench/b*"], "scratch": ["*/satellite"]},
    )
    planned = make_plan(grid, ledger, data_root)
    run = {(p.cell.task.partition("/")[2], p.cell.method) for p in planned}
    assert len(run) == 7 and not run & {("burgers", "ridge"), ("satellite", "scratch")}
    assert remarks_of(planned) == [
        "The grid leaves out for scratch: nasbench360/satellite.",
        "The grid leaves out for ridge: pdebench/burgers.",
    ]
    wrong = {"ridge": ["*"]}, {"rigde": ["*"]}
    for left, message in zip(
        wrong, ["every task for method 'ridge'", "'rigde'.*ridge"], strict=True
    ):
        with pytest.raises(RequestError, match=message):
            make_plan(
                tiny_grid(tasks=tasks, methods=["nft", "ridge"], leave_out=left), ledger, data_root
            )


@pytest.mark.parametrize("name", ["fno", "unet", "identity", "mean"])
def test_baselines_are_for_dense_tasks(
    name: str, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(tasks=["pdebench/advection", "nasbench360/satellite"], methods=["nft", name])
    planned = make_plan(grid, ledger, data_root)
    assert [(p.cell.task, p.cell.method) for p in planned] == [
        ("pdebench/advection", "nft"),
        ("pdebench/advection", name),
        ("nasbench360/satellite", "nft"),
    ]
    assert remarks_of(planned) == [f"{name} is for dense tasks: not run on nasbench360/satellite."]
    with pytest.raises(RequestError) as caught:
        make_plan(
            tiny_grid(tasks=["nasbench360/satellite"], methods=["nft", name]), ledger, data_root
        )
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
    # A folder is called by its name: where it lies is no part of the cell.
    assert (own.backbone, own.recipe["epochs"]) == (Path(backbone_folder).name, 3)
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


@pytest.mark.parametrize("name", [n for n in catalog.names() if n.startswith("pdebench/")])
def test_the_number_of_axes_is_that_of_the_name(name: str) -> None:
    two = ("darcy", "shallow_water", "_2d")
    assert catalog.get(name).axes == (2 if name.endswith(two) else 1)
