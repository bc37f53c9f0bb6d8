"""Modules of the user's: read, shipped as text, imported, and part of the cells that use them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import catalog
from runner import plugins
from runner.cell import Cell
from runner.config import Grid, load_grid
from runner.job import CellJob, Outcome
from runner.ledger import Ledger
from runner.plan import PlannedCell, make_plan
from runner.plugins import install, installed, read_plugins
from xmft.errors import RequestError
from xmft.methods import METHODS
from xmft.metrics import METRICS
from xmft.registry import forget

TASK = """
from dataclasses import replace

from benchmarks import catalog

_entry = catalog.get("pdebench/advection")
catalog.add(replace(_entry, task=replace(_entry.task, name="{name}", metrics=({metrics}))))
"""
METHOD = """
from xmft.methods.nft import NaiveFineTuning
from xmft.methods import register


@register
class Mine(NaiveFineTuning):
    name = "mine"
    version = 1
    title = "the same under a name of one's own"
"""
METRIC = """
import torch
from xmft.metrics import METRICS, Metric

METRICS.add("largest", Metric(
    name="largest", version=1, kinds=("dense",), reduction="max",
    per_sample=lambda predictions, targets: (predictions - targets).abs().flatten(1).amax(1)))
"""
# A BERT under another name, for plans: nothing takes it apart.
FAMILY = """
from transformers import BertConfig

from xmft.backbones.family import Family, register
from xmft.backbones.weights import Named


class PondConfig(BertConfig):
    model_type = "pond"


def _tiny():
    return PondConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                      max_position_embeddings=32)


@register
class Pond(Family):
    name, modality, title = "pond", "text", "a Pond"
    names = {"tiny-pond": Named(title="Pond, 16 x 2", build=_tiny)}

    def matches(self, config):
        return config.model_type == "pond"

    def layers(self, config):
        return config.num_hidden_layers

    def take_apart(self, body, name, fingerprint):
        raise NotImplementedError
"""
ALL = TASK.format(name="lab/waves", metrics='"nrmse", "largest"') + METHOD + METRIC

MakeGrid = Callable[..., Grid]


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Take out what a test has installed."""
    before = set(sys.modules)
    yield
    for name in list(plugins._installed):
        forget(name)
        del plugins._installed[name]
    shipped = str(catalog.cache_root() / "plugins")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(shipped):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], str]:
    def write(name: str, text: str) -> str:
        path = tmp_path / "lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


Write = Callable[[str, str], str]


def ids(planned: list[PlannedCell]) -> dict[tuple[str, str], str]:
    return {(item.cell.task, item.cell.method): item.cell.id for item in planned}


def test_a_file_registers_a_task_a_method_and_a_metric(write: Write) -> None:
    install(read_plugins([write("waves.py", ALL)]))
    assert {catalog.TASKS.owner("lab/waves"), METHODS.owner("mine"), METRICS.owner("largest")} == {
        "waves"
    }
    assert catalog.TASKS.owner("pdebench/advection") is None
    forget("waves")
    assert "lab/waves" not in catalog.TASKS and "mine" not in METHODS and "largest" not in METRICS


def test_a_plug_in_is_imported_again_only_if_it_changed(write: Write) -> None:
    path = write("waves.py", METHOD)
    install(read_plugins([path]))
    first = METHODS["mine"]
    install(read_plugins([path]))
    assert METHODS["mine"] is first
    write("waves.py", METHOD.replace("version = 1", "version = 2"))
    install(read_plugins([path]))
    assert METHODS["mine"].version == 2


def test_cells_carry_what_they_use_and_nothing_else(
    write: Write, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    """A change of the text changes the ids of the cells that use it, and no others."""
    plain = ids(make_plan(tiny_grid(methods=["nft", "mean"]), ledger, data_root))
    files = [
        write("method.py", METHOD),
        write("task.py", TASK.format(name="lab/w", metrics='"nrmse",')),
    ]
    grid = tiny_grid(
        plugins=files, tasks=["pdebench/advection", "lab/w"], methods=["nft", "mean", "mine"]
    )
    before = make_plan(grid, ledger, data_root)
    used = {(item.cell.task, item.cell.method): set(item.cell.plugins) for item in before}
    advection, own = "pdebench/advection", "lab/w"
    assert used == {
        (advection, "nft"): set(),
        (advection, "mean"): set(),
        (advection, "mine"): {"method:method"},
        (own, "nft"): {"task:task"},
        (own, "mean"): {"task:task"},
        (own, "mine"): {"method:method", "task:task"},
    }
    assert plain.items() <= ids(before).items()
    write("method.py", METHOD + "# another thought\n")
    after = ids(make_plan(grid, ledger, data_root))
    changed = {key for key, value in ids(before).items() if after[key] != value}
    assert changed == {(advection, "mine"), (own, "mine")}


def test_a_metric_of_ones_own_is_part_of_the_tasks_that_have_it(
    write: Write, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    task = TASK.format(name="lab/w", metrics='"nrmse", "largest"')
    grid = tiny_grid(
        plugins=[write("metric.py", METRIC), write("task.py", task)],
        tasks=["pdebench/advection", "lab/w"],
    )
    used = {i.cell.task: set(i.cell.plugins) for i in make_plan(grid, ledger, data_root)}
    assert used == {"pdebench/advection": set(), "lab/w": {"metric:metric", "task:task"}}


def test_a_backbone_of_ones_own_is_part_of_the_cells_that_have_it(
    write: Write,
    tiny_grid: MakeGrid,
    ledger: Ledger,
    data_root: Path,
) -> None:
    grid = tiny_grid(plugins=[write("pond.py", FAMILY)], methods=["nft", "mean"])
    assert not any(item.cell.plugins for item in make_plan(grid, ledger, data_root))
    own = tiny_grid(plugins=grid.plugins, methods=["nft", "mean"], backbone="tiny-pond")
    used = {i.cell.method: set(i.cell.plugins) for i in make_plan(own, ledger, data_root)}
    assert used == {"nft": {"backbone:pond"}, "mean": set()}


def test_a_cell_without_plug_ins_says_nothing_of_them(
    write: Write, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(plugins=[write("method.py", METHOD)], methods=["nft", "mine"])
    without, with_it = (item.cell for item in make_plan(grid, ledger, data_root))
    assert "plugins" not in json.loads(without.config_json)
    (plugin,) = read_plugins(grid.plugins)
    assert json.loads(with_it.config_json)["plugins"] == {"method:method": plugin.digest}
    assert Cell.from_json(without.config_json) == without
    assert Cell.from_json(with_it.config_json) == with_it


def test_modules_of_one_package_are_one_text_in_any_order(
    write: Write,
    tiny_grid: MakeGrid,
    ledger: Ledger,
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("pond/__init__.py", "")
    write("pond/task.py", TASK.format(name="lab/w", metrics='"nrmse",'))
    write("pond/method.py", METHOD)
    monkeypatch.syspath_prepend(str(tmp_path / "lab"))
    found = []
    for names in (["pond.task", "pond.method"], ["pond.method", "pond.task"]):
        grid = tiny_grid(plugins=names, tasks=["lab/w"], methods=["mine"])
        (item,) = make_plan(grid, ledger, data_root)
        assert set(item.cell.plugins) == {"task:pond", "method:pond"}
        found.append(item.cell.id)
        for name in names:
            forget(name)
            del plugins._installed[name]
        for name in [name for name in sys.modules if name.partition(".")[0] == "pond"]:
            del sys.modules[name]
    assert found[0] == found[1]


def test_files_are_relative_to_the_grid(
    write: Write, tiny_content: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    write("waves.py", ALL)
    content = tiny_content(plugins=["waves.py"], tasks=["lab/waves"], methods=["mine"])
    path = Path(write("grid.yaml", yaml.safe_dump(content)))
    assert load_grid(str(path)).plugins == [str(tmp_path / "lab" / "waves.py")]
    assert METHODS.owner("mine") == "waves"


def test_a_cell_of_a_plug_in_runs(
    write: Write,
    plan_one: Callable[..., PlannedCell],
    job_of: Callable[..., CellJob],
    attempt: Callable[..., Outcome],
    ledger: Ledger,
) -> None:
    path = write("waves.py", ALL)
    item = plan_one(plugins=[path], tasks=["lab/waves"], methods=["mine"])
    assert attempt(job_of(item)).status == "ok"
    assert {"nrmse", "largest"} <= set(ledger.read().to_pandas()["metric"])


def test_the_text_that_was_planned_is_what_is_shipped(write: Write) -> None:
    """A file may be edited while a run makes its data ready."""
    path = write("waves.py", METHOD)
    (plugin,) = read_plugins([path])
    install([plugin])
    write("waves.py", METHOD + "# later\n")
    assert installed([path]) == (plugin,)
    assert read_plugins([path]) != (plugin,)


def test_another_process_needs_no_file(write: Write, tmp_path: Path) -> None:
    """The worker of a cluster has neither the file nor what this process has cached."""
    path = write("waves.py", ALL)
    shipped = tmp_path / "shipped"
    shipped.write_bytes(pickle.dumps(read_plugins([path])))
    Path(path).unlink()
    program = (
        "import pickle, sys; from pathlib import Path; from runner.plugins import install;"
        "install(pickle.loads(Path(sys.argv[1]).read_bytes()));"
        "from benchmarks import catalog; from xmft.methods import METHODS;"
        "print(catalog.get('lab/waves').task.metrics, METHODS['mine'].__module__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(shipped)],
        env={**os.environ, "XMFT_CACHE": str(tmp_path / "elsewhere")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "('nrmse', 'largest') waves"


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("waves.py", "x = 1\n\nraise ValueError('no sea')\n", ["ValueError: no sea", "line 3"]),
        ("waves.py", "x = 1\ndef (\n", ["SyntaxError", "line 2"]),
        ("waves.py", "import no_such_sea\n", ["no_such_sea", "line 1"]),
        ("waves.py", "x = 1\n", ["registers nothing", "benchmarks.add_task"]),
        ("json.py", METHOD, ["Rename the file"]),
        ("torch.py", METHOD, ["torch.py", "Rename the file"]),
        ("two-words.py", METHOD, ["Rename the file"]),
    ],
)
def test_a_bad_plug_in_is_refused_in_a_sentence(
    write: Write, name: str, text: str, parts: list[str]
) -> None:
    with pytest.raises(RequestError) as caught:
        install(read_plugins([write(name, text)]))
    for part in parts:
        assert part in str(caught.value)
    assert "mine" not in METHODS


@pytest.mark.parametrize("name", ["no_such_module.tasks", "no/such/file.py", "runner.plan"])
def test_a_plug_in_that_is_not_there(name: str) -> None:
    with pytest.raises(RequestError, match=name):
        read_plugins([name])


def test_a_bad_plug_in_can_be_mended(write: Write) -> None:
    for text in (METHOD + "raise ValueError\n", "x = 1\n"):
        with pytest.raises(RequestError):
            install(read_plugins([write("waves.py", text)]))
    install(read_plugins([write("waves.py", METHOD)]))
    assert METHODS.owner("mine") == "waves"


def test_two_files_of_one_name_are_refused(write: Write) -> None:
    files = [write("a/waves.py", METHOD), write("b/waves.py", METRIC)]
    with pytest.raises(RequestError, match="Two plug-ins are called 'waves'"):
        read_plugins(files)
