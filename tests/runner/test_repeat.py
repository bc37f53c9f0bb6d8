"""A cell of the ledger as a grid of its own: planned from the ledger alone, it is the same cell."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, BertModel

from runner.config import Grid
from runner.ledger import Ledger
from runner.plan import make_plan
from runner.planned import PlannedCell
from runner.repeat import check_same, command_again, compared, grid_of_cell, recorded
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import xmft
from tests.runner.plugin_texts import METHOD
from xmft.errors import RequestError

PlanOne = Callable[..., PlannedCell]
SMALL = {
    "vocab_size": 9,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "variant": {
        "methods": ["orca:mine"],
        "options": {
            "orca:mine": {"alignment_steps": 3, "alignment_batch": 4, "source": {"samples": 16}}
        },
    },
    "preset": {"methods": ["orca:released"], "options": {"orca": {"alignment_batch": 4}}},
    "of its task and method": {
        "per_task": {"pdebench/advection": {"epochs": 3, "layers": 1}},
        "per_method": {"nft": {"learning_rate": 2e-3, "batch_size": 4}},
    },
    "without a backbone": {"methods": ["fno"]},
    "released": {"protocol": "released", "seeds": [7]},
    "miniature": {
        "tasks": ["nasbench360/satellite"],
        "miniature": True,
        "recipe": {"samples": None},
    },
    "classification of a variant task": {"tasks": ["pdebench/advection:beta1.0"]},
}


def write_down(ledger: Ledger, item: PlannedCell, grid: Grid, **told: Any) -> str:
    """Write an attempt at a planned cell as a run does."""
    facts = {"backbone": item.backbone, "miniature": grid.miniature, "workers": 1, **told}
    origin = "miniature" if grid.miniature else "generated"
    attempt = attempt_of(item.cell, score_of(0.5), data_origin=origin, invocation=facts)
    ledger.write_attempt(attempt)
    return item.cell.id


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_the_grid_of_a_cell_plans_the_same_cell(
    changes: dict[str, Any], tiny_grid: Callable[..., Grid], ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(**changes)
    (item,) = make_plan(grid, ledger, data_root)
    cell_id = write_down(ledger, item, grid)
    (again,) = make_plan(grid_of_cell(ledger, cell_id[:6]), ledger, data_root)
    assert again.cell == item.cell
    assert (again.cell.id, again.state) == (cell_id, "done")
    check_same(recorded(ledger, cell_id), [again])


def test_a_backbone_in_a_folder_is_found_where_it_was_or_where_one_says(
    tiny_grid: Callable[..., Grid],
    ledger: Ledger,
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "mine"
    BertModel(BertConfig(**SMALL)).save_pretrained(folder)
    monkeypatch.chdir(tmp_path)
    grid = tiny_grid(backbone="mine")
    (item,) = make_plan(grid, ledger, data_root)
    cell_id = write_down(ledger, item, grid)
    monkeypatch.chdir("/")
    (again,) = make_plan(grid_of_cell(ledger, cell_id), ledger, data_root)
    assert again.cell.id == cell_id
    shutil.move(folder, tmp_path / "moved")
    with pytest.raises(RequestError, match="mine"):
        make_plan(grid_of_cell(ledger, cell_id), ledger, data_root)
    moved = grid_of_cell(ledger, cell_id, [f"backbone={tmp_path / 'moved'}"])
    (again,) = make_plan(moved, ledger, data_root)
    assert again.cell.id == cell_id


def test_a_plug_in_is_named_by_the_person_and_not_by_the_ledger(
    tiny_grid: Callable[..., Grid],
    ledger: Ledger,
    data_root: Path,
    write_plugin: Callable[[str, str], str],
    tmp_path: Path,
) -> None:
    path = write_plugin("lab.py", METHOD)
    grid = tiny_grid(methods=["mine"], plugins=[path])
    (item,) = make_plan(grid, ledger, data_root)
    cell_id = write_down(ledger, item, grid, plugins=[path])
    with pytest.raises(RequestError, match=r"plug-in 'lab' \(then .*lab.py\).*--plugin"):
        grid_of_cell(ledger, cell_id)
    (again,) = make_plan(grid_of_cell(ledger, cell_id, plugins=[path]), ledger, data_root)
    assert again.cell.id == cell_id
    assert f"--plugin {path}" in command_again(recorded(ledger, cell_id), "results")
    write_plugin("lab.py", METHOD + "\n# changed\n")
    (other,) = make_plan(grid_of_cell(ledger, cell_id, plugins=[path]), ledger, data_root)
    with pytest.raises(RequestError, match="the text of its plug-ins"):
        check_same(recorded(ledger, cell_id), [other])


def test_a_ledger_cannot_have_code_imported(
    tiny_grid: Callable[..., Grid], ledger: Ledger, data_root: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    grid = tiny_grid()
    (item,) = make_plan(grid, ledger, data_root)
    cell_id = write_down(ledger, item, grid, plugins=[str(trap)])
    make_plan(grid_of_cell(ledger, cell_id), ledger, data_root)
    xmft("show", cell_id, "--results", ledger.uri)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("data", "elsewhere", "the data (data) was"),
        ("weights", "0", "the backbone's weights or tokenizer (weights) was"),
        ("task_version", 99, "the version of the task"),
        ("metric_versions", {"nrmse": 9}, "the versions of the metrics"),
        ("recipe", {"epochs": 9}, "recipe.epochs was 9 and is 2"),
    ],
)
def test_what_differs_is_told(
    plan_one: PlanOne, ledger: Ledger, field: str, value: Any, told: str
) -> None:
    item = plan_one()
    if field == "recipe":
        value = {**item.cell.recipe, **value}
    then = replace(item.cell, **{field: value})
    ledger.write_attempt(attempt_of(then, score_of(0.5)))
    with pytest.raises(RequestError) as refused:
        check_same(recorded(ledger, then.id), [item])
    assert told in str(refused.value)


def test_configurations_that_are_not_what_the_id_says_are_refused(ledger: Ledger) -> None:
    cell = cell_of()
    vars(cell)["id"] = "0" * 16
    ledger.write_attempt(attempt_of(cell, score_of(0.5)))
    with pytest.raises(RequestError, match="cannot be run again"):
        grid_of_cell(ledger, "000")


def test_the_command_says_what_the_run_was_told(ledger: Ledger, tmp_path: Path) -> None:
    cell = cell_of()
    told = {"data": "/my data", "workers": 2, "threads": 3, "sharding": "fsdp"}
    ledger.write_attempt(attempt_of(cell, score_of(0.5), invocation=told))
    words = shlex.split(command_again(recorded(ledger, cell.id), "my results"))
    assert words[:3] == ["xmft", "run", f"cell:{cell.id}"]
    for pair in (["--results", "my results"], ["--data", "/my data"], ["--workers", "2"]):
        assert words[words.index(pair[0]) + 1] == pair[1]
    assert words[words.index("--threads") + 1] == "3"
    assert words[words.index("--sharding") + 1] == "fsdp"
    assert "--force" in words


def test_numbers_are_compared_with_those_before(ledger: Ledger) -> None:
    cell = cell_of()
    two = score_of(0.5), score_of(2.0, metric="rmse")
    ledger.write_attempt(attempt_of(cell, *two))
    assert "no earlier numbers" in compared(ledger, cell.id)
    ledger.write_attempt(attempt_of(cell, failure="oom"))
    ledger.write_attempt(attempt_of(cell, *two))
    assert "attempt 3 and attempt 1" in compared(ledger, cell.id)
    assert "agree in all 2" in compared(ledger, cell.id)
    ledger.write_attempt(attempt_of(cell, two[0], replace(two[1], value=2.5)))
    said = compared(ledger, cell.id)
    assert "differ in 1 of 2 of them" in said.replace("of 2,", "of 2 of them,")
    assert "test best_val rmse: 2 then, 2.5 now" in said


def test_show_lists_attempts_with_their_main_score_and_the_command(
    plan_one: PlanOne, tiny_grid: Callable[..., Grid], ledger: Ledger
) -> None:
    cell_id = write_down(ledger, plan_one(), tiny_grid())
    shown = xmft("show", cell_id[:5], "--results", ledger.uri).stdout
    assert "nrmse 0.5" in shown
    line = next(line for line in shown.splitlines() if line.startswith("xmft run"))
    assert shlex.split(line)[2] == f"cell:{cell_id}"
    assert json.loads(shown.partition("invocation: ")[2].splitlines()[0])["workers"] == 1
