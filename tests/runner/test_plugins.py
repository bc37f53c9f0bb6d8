"""Modules of the user's: read, shipped as text, imported, and part of the cells that use them."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import catalog
from runner import plugins
from runner.cell import Cell
from runner.config import Grid, load_grid
from runner.job import CellJob
from runner.ledger import Ledger
from runner.outcome import Outcome
from runner.plan import PlannedCell, make_plan
from runner.plugins import install, installed, read_plugins
from tests.runner.plugin_texts import ALL, FAMILY, METHOD, METRIC, TASK
from xmft.methods import METHODS
from xmft.metrics import METRICS
from xmft.registry import forget

MakeGrid = Callable[..., Grid]
Write = Callable[[str, str], str]


def ids(planned: list[PlannedCell]) -> dict[tuple[str, str], str]:
    return {(item.cell.task, item.cell.method): item.cell.id for item in planned}


def test_a_file_registers_a_task_a_method_and_a_metric(write_plugin: Write) -> None:
    install(read_plugins([write_plugin("waves.py", ALL)]))
    assert {catalog.TASKS.owner("lab/waves"), METHODS.owner("mine"), METRICS.owner("largest")} == {
        "waves"
    }
    assert catalog.TASKS.owner("pdebench/advection") is None
    forget("waves")
    assert "lab/waves" not in catalog.TASKS and "mine" not in METHODS and "largest" not in METRICS


def test_a_plug_in_is_imported_again_only_if_it_changed(write_plugin: Write) -> None:
    path = write_plugin("waves.py", METHOD)
    install(read_plugins([path]))
    first = METHODS["mine"]
    install(read_plugins([path]))
    assert METHODS["mine"] is first
    write_plugin("waves.py", METHOD.replace("version = 1", "version = 2"))
    install(read_plugins([path]))
    assert METHODS["mine"].version == 2


def test_cells_carry_what_they_use_and_nothing_else(
    write_plugin: Write, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    """A change of the text changes the ids of the cells that use it, and no others."""
    plain = ids(make_plan(tiny_grid(methods=["nft", "mean"]), ledger, data_root))
    files = [
        write_plugin("method.py", METHOD),
        write_plugin("task.py", TASK.format(name="lab/w", metrics='"nrmse",')),
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
    write_plugin("method.py", METHOD + "# another thought\n")
    after = ids(make_plan(grid, ledger, data_root))
    changed = {key for key, value in ids(before).items() if after[key] != value}
    assert changed == {(advection, "mine"), (own, "mine")}


def test_a_metric_of_ones_own_is_part_of_the_tasks_that_have_it(
    write_plugin: Write, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    task = TASK.format(name="lab/w", metrics='"nrmse", "largest"')
    grid = tiny_grid(
        plugins=[write_plugin("metric.py", METRIC), write_plugin("task.py", task)],
        tasks=["pdebench/advection", "lab/w"],
    )
    used = {i.cell.task: set(i.cell.plugins) for i in make_plan(grid, ledger, data_root)}
    assert used == {"pdebench/advection": set(), "lab/w": {"metric:metric", "task:task"}}


def test_a_backbone_of_ones_own_is_part_of_the_cells_that_have_it(
    write_plugin: Write,
    tiny_grid: MakeGrid,
    ledger: Ledger,
    data_root: Path,
) -> None:
    grid = tiny_grid(plugins=[write_plugin("pond.py", FAMILY)], methods=["nft", "mean"])
    assert not any(item.cell.plugins for item in make_plan(grid, ledger, data_root))
    own = tiny_grid(plugins=grid.plugins, methods=["nft", "mean"], backbone="tiny-pond")
    used = {i.cell.method: set(i.cell.plugins) for i in make_plan(own, ledger, data_root)}
    assert used == {"nft": {"backbone:pond"}, "mean": set()}


def test_a_cell_without_plug_ins_says_nothing_of_them(
    write_plugin: Write, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(plugins=[write_plugin("method.py", METHOD)], methods=["nft", "mine"])
    without, with_it = (item.cell for item in make_plan(grid, ledger, data_root))
    assert "plugins" not in json.loads(without.config_json)
    (plugin,) = read_plugins(grid.plugins)
    assert json.loads(with_it.config_json)["plugins"] == {"method:method": plugin.digest}
    assert Cell.from_json(without.config_json) == without
    assert Cell.from_json(with_it.config_json) == with_it


def test_modules_of_one_package_are_one_text_in_any_order(
    write_plugin: Write,
    tiny_grid: MakeGrid,
    ledger: Ledger,
    data_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_plugin("pond/__init__.py", "")
    write_plugin("pond/task.py", TASK.format(name="lab/w", metrics='"nrmse",'))
    write_plugin("pond/method.py", METHOD)
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
    write_plugin: Write, tiny_content: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    write_plugin("waves.py", ALL)
    content = tiny_content(plugins=["waves.py"], tasks=["lab/waves"], methods=["mine"])
    path = Path(write_plugin("grid.yaml", yaml.safe_dump(content)))
    assert load_grid(str(path)).plugins == [str(tmp_path / "lab" / "waves.py")]
    assert METHODS.owner("mine") == "waves"


def test_a_cell_of_a_plug_in_runs(
    write_plugin: Write,
    plan_one: Callable[..., PlannedCell],
    job_of: Callable[..., CellJob],
    attempt: Callable[..., Outcome],
    ledger: Ledger,
) -> None:
    path = write_plugin("waves.py", ALL)
    item = plan_one(plugins=[path], tasks=["lab/waves"], methods=["mine"])
    assert attempt(job_of(item)).status == "ok"
    assert {"nrmse", "largest"} <= set(ledger.read().to_pandas()["metric"])


def test_the_text_that_was_planned_is_what_is_shipped(write_plugin: Write) -> None:
    """A file may be edited while a run makes its data ready."""
    path = write_plugin("waves.py", METHOD)
    (plugin,) = read_plugins([path])
    install([plugin])
    write_plugin("waves.py", METHOD + "# later\n")
    assert installed([path]) == (plugin,)
    assert read_plugins([path]) != (plugin,)


def test_another_process_needs_no_file(write_plugin: Write, tmp_path: Path) -> None:
    """The worker of a cluster has neither the file nor what this process has cached."""
    path = write_plugin("waves.py", ALL)
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


def test_what_a_plug_in_imports_first_is_not_its_own(write_plugin: Write) -> None:
    """In a new process nothing is registered yet: cells would be others than in an old one."""
    path = write_plugin("waves.py", "import xmft.source, xmft.backbones, xmft.metrics\n" + METHOD)
    program = (
        "import sys; from runner.plugins import install, read_plugins;"
        "install(read_plugins([sys.argv[1]]));"
        "from xmft.registry import owned; print(owned('waves'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['mine']"
