"""Plug-ins that are modules of one package."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import catalog
from runner import plugins, run_grid
from runner.config import Grid, make_grid
from runner.plugins import install, read_plugins
from tests.runner.commands import output_of
from xmft.errors import RequestError
from xmft.methods import METHODS
from xmft.registry import forget

METHOD = """
from xmft.methods.nft import NaiveFineTuning
from xmft.methods import register


@register
class Mine(NaiveFineTuning):
    name, version, title = "mine", {version}, "the same under a name of one's own"
"""
TASK = """
from dataclasses import replace

from benchmarks import catalog
from brook import method

entry = catalog.get("pdebench/advection")
catalog.add(replace(entry, task=replace(entry.task, name="lab/brook")))
"""

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a file of an importable package; what the test has installed is taken out."""
    folder = tmp_path / "modules"
    monkeypatch.syspath_prepend(str(folder))

    def write(name: str, text: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    yield write
    for name in list(plugins._installed):
        forget(name)
        del plugins._installed[name]
    for name in [name for name in sys.modules if name.partition(".")[0] == "brook"]:
        del sys.modules[name]


@pytest.fixture
def brook(write: Write) -> Write:
    write("brook/__init__.py", "")
    write("brook/method.py", METHOD.format(version=1))
    write("brook/task.py", TASK)
    return write


def found() -> tuple[bool, int]:
    return "lab/brook" in catalog.TASKS, METHODS["mine"].version


@pytest.mark.parametrize("names", [["brook.task", "brook.method"], ["brook.method", "brook.task"]])
def test_one_module_may_import_another(brook: Write, names: list[str]) -> None:
    install(read_plugins(names))
    assert found() == (True, 1)
    before = METHODS["mine"]
    install(read_plugins(names[::-1]))
    assert METHODS["mine"] is before


@pytest.mark.parametrize("names", [["brook.task", "brook.method"], ["brook.method", "brook.task"]])
def test_a_changed_package_replaces_all_of_the_old_one(brook: Write, names: list[str]) -> None:
    """Whichever of its modules was named before, and which one registered what."""
    install(read_plugins(names))
    brook("brook/method.py", METHOD.format(version=2))
    install(read_plugins(names[::-1]))
    assert found() == (True, 2)
    brook("brook/method.py", METHOD.format(version=1))
    install(read_plugins(["brook.task"]))
    assert found() == (True, 1)


def test_what_a_bad_module_has_imported_can_be_named_alone(brook: Write) -> None:
    brook("brook/task.py", TASK + "raise ValueError('no brook')\n")
    with pytest.raises(RequestError, match=r"ValueError: no brook \(brook/task.py, line 9\)"):
        install(read_plugins(["brook.task"]))
    assert "mine" not in METHODS
    install(read_plugins(["brook.method"]))
    assert found() == (False, 1)


def test_a_bad_module_leaves_the_good_one_that_was_named_before(brook: Write) -> None:
    brook("brook/task.py", "raise ValueError('no brook')\n")
    with pytest.raises(RequestError, match="no brook"):
        install(read_plugins(["brook.method", "brook.task"]))
    assert METHODS["mine"].version == 1


def test_a_package_needs_no_init_file(write: Write) -> None:
    write("brook/method.py", METHOD.format(version=1))
    write("brook/task.py", TASK)
    (plugin,) = read_plugins(["brook.task"])
    assert set(plugin.files) == {"brook/__init__.py", "brook/method.py", "brook/task.py"}
    install([plugin])
    assert found() == (True, 1)
    assert "modules" not in Path(str(sys.modules["brook.method"].__file__)).parts


def test_a_folder_without_modules_is_none(write: Write) -> None:
    write("brook/readme.txt", METHOD)
    with pytest.raises(RequestError, match="There is no plug-in module 'brook'"):
        read_plugins(["brook"])


PROXY = """
from dataclasses import replace

from xmft.source import PROXIES

PROXIES.add("brook-docs", replace(PROXIES["stdlib-docs"], default=False))
"""


def test_lists_show_what_plug_ins_add(write: Write) -> None:
    write("brook.py", PROXY)
    assert "brook-docs" not in output_of("list", "sources")
    assert "brook-docs" in output_of("list", "sources", "--plugin", "brook")
    assert "minilm" in output_of("list", "backbones", "--plugin", "brook")


CONTENT = {"tasks": ["pdebench/advection"], "methods": ["nft"], "recipe": {"epochs": 5}}


def test_the_mapping_of_a_notebook_stays_as_it_was() -> None:
    content = copy.deepcopy(CONTENT)
    assert make_grid(content, ["epochs=3"]).recipe == {"epochs": 3}
    assert content == CONTENT


@pytest.mark.parametrize("more", [{"settings": ["epochs=3"]}, {"plugins": ["brook"]}])
def test_a_grid_object_takes_no_settings(more: dict[str, list[str]], tmp_path: Path) -> None:
    """They would have no effect."""
    with pytest.raises(RequestError, match="found a Grid"):
        run_grid(Grid.model_validate(CONTENT), results=tmp_path, **more)
