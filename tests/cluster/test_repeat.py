"""The command that `xmft show` prints makes the number again."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast

from runner.config import make_grid
from runner.execute import attempt_cell, local_runner
from runner.job import CellJob
from runner.ledger import Ledger
from runner.plan import data_root_of, make_plan
from xmft.registry import forget

pytestmark = [pytest.mark.ray, pytest.mark.slow]

RECIPE = {"samples": 40, "resolution": 32, "max_tokens": 4, "epochs": 2, "batch_size": 8}
PLUGIN = """
from xmft.methods import register
from xmft.methods.nft import NaiveFineTuning


@register
class Mine(NaiveFineTuning):
    name, version, title = "mine", 1, "own"
"""


def made(folder: Path, content: dict[str, Any]) -> str:
    """Train the one cell of a grid in this process and return its id."""
    data_root = folder / "data"
    data_root.mkdir()
    grid = make_grid({"seeds": [0], "backbone": "tiny-sequence", "recipe": RECIPE, **content})
    ledger = Ledger(folder / "results")
    (item,) = make_plan(grid, ledger, data_root)
    told = {"data": str(data_root), "backbone": item.backbone, "miniature": grid.miniature}
    job = CellJob(
        config_json=item.cell.config_json,
        data_root=str(data_root_of(grid, data_root)),
        results=ledger.uri,
        backbone=item.backbone,
        invocation={**told, "plugins": grid.plugins, "workers": 1, "threads": 1},
    )
    assert attempt_cell(job, local_runner(job, None, 1, 0.0)).status == "ok"
    return item.cell.id


def xmft(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from runner.cli import app; app()", *words],
        env={**environment, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd="/",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ["folder, variant, own recipes", "plug-in", "miniature"])
def test_the_printed_command_gives_the_same_numbers(
    kind: str, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XMFT_CACHE", "XMFT_DATA"):
        monkeypatch.setenv(name, environment[name])
    threads = torch.get_num_threads()
    content: dict[str, Any] = {"tasks": ["pdebench/advection"], "methods": ["nft"]}
    if kind == "plug-in":
        path = tmp_path / "a plug in" / "mine.py"
        path.parent.mkdir()
        path.write_text(PLUGIN)
        content |= {"methods": ["mine"], "plugins": [str(path)]}
    elif kind == "miniature":
        content |= {"tasks": ["nasbench360/darcy"], "miniature": True, "recipe": {"epochs": 1}}
        content["recipe"] |= {"samples": 40, "max_tokens": 4, "layers": 1}
    else:
        folder = tmp_path / "my model"
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        BertModel(BertConfig(vocab_size=9, intermediate_size=16, **sizes)).save_pretrained(folder)
        words = tmp_path / "words"
        words.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nwave\nshock\n##s")
        BertTokenizerFast(str(words)).save_pretrained(folder)
        content |= {
            "backbone": str(folder),
            "methods": ["orca:mine"],
            "options": {"orca:mine": {"alignment_steps": 2, "source": {"samples": 32}}},
            "per_task": {"pdebench/advection": {"learning_rate": 2e-3}},
            "per_method": {"orca": {"weight_decay": 0.0}},
        }
    try:
        cell_id = made(tmp_path, content)
    finally:
        forget("mine")
        torch.set_num_threads(threads)
    shown = xmft(environment, "show", cell_id, "--results", str(tmp_path / "results"))
    (line,) = [line for line in shown.splitlines() if line.startswith("xmft run ")]
    said = xmft(environment, *shlex.split(line)[1:])
    assert "The same numbers: attempt 2 and attempt 1" in said
    rows = Ledger(tmp_path / "results").read().to_pylist()
    assert {row["attempt"] for row in rows} == {1, 2}
    assert {row["cell_id"] for row in rows} == {cell_id}
    assert all(row["cpu_s"] > 0 and row["threads"] == 1 for row in rows)
