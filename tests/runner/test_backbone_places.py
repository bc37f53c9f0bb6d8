"""Where weights lie is no part of a cell, what they hold always is: from the plan to the board."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from runner.cell import FROM_FILES, Cell
from runner.config import Grid
from runner.job import CellJob
from runner.ledger import Ledger
from runner.outcome import Outcome
from runner.plan import PlannedCell, make_plan
from runner.report.terminal import to_terminal
from tests.runner.boards import build, grid, labels, text_of
from tests.runner.boards import ledger as rows
from tests.runner.cells import only_failure, rows_of
from tests.runner.commands import xmft
from xmft.backbones import files
from xmft.backbones.weights import weights_fingerprint
from xmft.errors import RequestError

MakeGrid = Callable[..., Grid]
PlanOne = Callable[..., PlannedCell]
SMALL = {
    "vocab_size": 9,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "wave", "shock", "##s"]


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    folder = tmp_path / "models" / "plain"
    BertModel(BertConfig(**SMALL)).save_pretrained(folder)
    (tmp_path / "words").write_text("\n".join(WORDS))
    BertTokenizerFast(str(tmp_path / "words")).save_pretrained(folder)
    return folder


def other(folder: Path) -> str:
    torch.manual_seed(1)
    BertModel(BertConfig(**SMALL)).save_pretrained(folder)
    return str(folder)


def test_a_folder_is_one_backbone_however_it_is_named(
    plain: Path, plan_one: PlanOne, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(plain, tmp_path / "far" / "copy")
    (tmp_path / "link").symlink_to(plain)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spellings = [str(plain), "models/plain", "./models/plain/", "~/models/plain", "link", str(copy)]
    items = [plan_one(backbone=name) for name in spellings]
    assert len({item.cell.id for item in items}) == 1
    assert [item.cell.backbone for item in items] == [*["plain"] * 4, "link", "copy"]
    assert not any(str(tmp_path) in item.cell.config_json for item in items)
    # Where it is found is told apart from what it is, and from anywhere.
    monkeypatch.chdir("/")
    assert all(plain.samefile(item.backbone or "") for item in items[:-1])
    assert {weights_fingerprint(str(item.backbone)) for item in items} == {items[0].cell.weights}
    # Other weights of the same name are another cell.
    assert plan_one(backbone=other(tmp_path / "b" / "plain")).cell.id != items[0].cell.id


def test_the_runner_knows_the_fingerprint_of_files(plain: Path, plan_one: PlanOne) -> None:
    assert files.READ == FROM_FILES
    cell = plan_one(backbone=str(plain)).cell
    assert cell.weights.startswith(FROM_FILES)
    assert replace(cell, backbone="renamed").id == cell.id
    assert replace(cell, weights=cell.weights + "0").id != cell.id
    assert Cell.from_json(cell.config_json) == cell
    # What is built from a configuration is its name.
    built = plan_one(backbone="tiny-sequence").cell
    assert replace(built, backbone="renamed").id != built.id
    assert list(json.loads(cell.config_json)["metric_versions"]) == list(cell.metric_versions)


def test_a_worker_finds_the_folder_from_its_own_directory(
    plain: Path,
    plan_one: PlanOne,
    job_of: Callable[..., CellJob],
    attempt: Callable[..., Outcome],
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(plain.parent)
    item = plan_one(backbone="plain", recipe={"epochs": 1})
    monkeypatch.chdir("/")
    outcome = attempt(job_of(item))
    assert outcome.status == "ok", outcome.error
    assert {row["backbone"] for row in rows_of(ledger, item.cell.id)} == {"plain"}


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer_config.json"])
def test_weights_that_changed_since_the_plan_are_not_trained(
    file: str,
    plain: Path,
    plan_one: PlanOne,
    job_of: Callable[..., CellJob],
    attempt: Callable[..., Outcome],
    ledger: Ledger,
) -> None:
    item = plan_one(backbone=str(plain))
    if file == "model.safetensors":
        other(plain)
    else:
        (plain / file).write_text((plain / file).read_text() + " ")
    row = only_failure(ledger, attempt(job_of(item)))
    assert row["failure"] == "data" and "changed since the grid was planned" in row["error"]


def test_the_same_weights_are_one_line_and_others_of_the_name_another() -> None:
    first, second = f"{FROM_FILES}11aa22bb33", f"{FROM_FILES}44cc55dd66"
    tables = grid({"orca": {"s/a": 0.1}}, seeds=(0,), backbone="plain", weights=first)
    tables += grid({"orca": {"s/a": 0.2}}, seeds=(1, 2), backbone="copy", weights=first)
    (board,) = build(rows(*tables))
    assert labels(board.ranked) == ["orca"]
    assert board.ranked[0].backbones == ("copy",)
    assert board.ranked[0].scores["s/a"].seeds == (0, 1, 2)
    assert "backbone: copy\n" in text_of(to_terminal([board]))

    tables = grid({"orca": {"s/a": 0.1}, "nft": {"s/a": 0.3}}, backbone="plain", weights=first)
    tables += grid({"orca": {"s/a": 0.2}}, backbone="plain", weights=second)
    tables += grid({"mean": {"s/a": 0.4}}, backbone="none", weights="none")
    (board,) = build(rows(*tables))
    assert {line.label: line.backbones for line in board.ranked} == {
        "orca / plain 11aa22bb": ("plain 11aa22bb",),
        "orca / plain 44cc55dd": ("plain 44cc55dd",),
        "nft / plain 11aa22bb": ("plain 11aa22bb",),
        "mean": (),
    }


def test_cells_of_before_keep_their_lines() -> None:
    # They have one fingerprint and two ids for two spellings of one path.
    tables = grid({"nft": {"s/a": 0.1}}, backbone="models/plain", weights="11aa")
    tables += grid({"nft": {"s/a": 0.2}}, backbone="/models/plain", weights="11aa")
    (board,) = build(rows(*tables))
    assert labels(board.ranked) == ["nft / models/plain", "nft / /models/plain"]


def damage(folder: Path, what: str) -> None:
    if what == "tokenizer":
        tokenizer = BertTokenizerFast.from_pretrained(folder)
        tokenizer.add_tokens(["turbulence"])
        tokenizer.save_pretrained(folder)
    elif what == "no tokenizer":
        for path in [*folder.glob("tokenizer*"), *folder.glob("vocab*")]:
            path.unlink()
    elif what == "code":
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "own", "auto_map": {"AutoModel": "own.Model"}}
        (folder / "config.json").write_text(json.dumps(config))
    elif what == "pickle":
        (folder / "model.safetensors").unlink()
        torch.save({"a": Path("/")}, folder / "pytorch_model.bin")
    elif what == "cut":
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:100])
    else:
        (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        ("tokenizer", "tokens up to number 9, but the embedding of the model has 9"),
        ("no tokenizer", "has no tokenizer that can be read"),
        ("code", "is not run"),
        ("pickle", "nothing in it is run"),
        ("cut", "could not be loaded"),
        ("adapter", "It holds an adapter (adapter_config.json: LORA of an unknown base)"),
    ],
)
def test_the_plan_refuses_what_could_only_fail(
    what: str, shown: str, plain: Path, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    changes = {"backbone": str(plain), "methods": ["nft", "recraft"]}
    assert len(make_plan(tiny_grid(**changes), ledger, data_root)) == 2
    damage(plain, what)
    with pytest.raises(RequestError) as caught:
        make_plan(tiny_grid(**changes), ledger, data_root)
    assert shown in str(caught.value) and "\n" not in str(caught.value)
    if "tokenizer" in what:  # which only methods with a source need
        assert make_plan(tiny_grid(backbone=str(plain)), ledger, data_root)


def test_an_adapter_beside_the_weights_is_told_by_plan_and_run(
    plain: Path, tiny_content: Callable[..., dict[str, Any]], write: Callable[[str], str]
) -> None:
    (plain / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    file = write(json.dumps(tiny_content(backbone=str(plain), methods=["nft", "scratch"])))
    shown = xmft("plan", file)
    assert shown.exit_code == 0, shown.output
    assert " ".join(shown.output.split()).count("is not applied") == 1
