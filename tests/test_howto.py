"""What the pages "How to add ..." say is done here, block by block, as it stands there.

A block with a title is written to the file of that name. Other blocks of Python run in one
namespace, lines of shell blocks are commands that must end well.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import catalog
from runner.console import console
from tests.runner.commands import xmft
from xmft.backbones import FAMILIES
from xmft.backbones.weights import NAMED
from xmft.methods import METHODS
from xmft.metrics import METRICS

PAGES = Path(__file__).parents[1] / "docs" / "howto"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


REGISTRIES = (METHODS, METRICS, catalog.TASKS, NAMED, FAMILIES)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty folder that modules are imported from, and leave registries as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XMFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XMFT_DATA", str(tmp_path / "root"))
    monkeypatch.setattr(console, "width", 200)
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_entries", dict(registry))
        monkeypatch.setattr(registry, "_owners", dict(registry._owners))
    yield
    forget_modules(tmp_path)


def forget_modules(folder: Path) -> None:
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def follow(page: str) -> tuple[dict[str, object], str]:
    """Do what a page says; returns the names that its Python has made, and what commands said."""
    names: dict[str, object] = {"__name__": "howto"}
    said = []
    entries = [(registry, dict(registry), dict(registry._owners)) for registry in REGISTRIES]
    blocks = BLOCK.findall((PAGES / f"{page}.md").read_text(encoding="utf-8"))
    assert blocks
    for language, title, text in blocks:
        if title:
            Path(title).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, f"{page}.md", "exec"), names)
        else:
            assert language == "sh", f"{page}.md has a block of {language} without a title"
            # Commands run in a process of their own, that knows nothing of the blocks before.
            forget_modules(Path.cwd())
            for registry, known, owners in entries:
                registry._entries, registry._owners = dict(known), dict(owners)
            for line in text.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "xmft"
                result = xmft(*arguments)
                assert result.exit_code == 0, result.output
                said.append(result.stdout)
    return names, "\n".join(said)


@pytest.mark.ray
def test_a_task() -> None:
    _, said = follow("task")
    assert "mylab/waves" in said and "ridge" in said and "measured.npz" in said
    # Moved waves are a linear map of waves, which the mean is far from.
    assert catalog.get("mylab/measured").files == ("measured.npz",)


def test_a_method() -> None:
    names, said = follow("method")
    assert names["trained"].scores["nrmse"] < 2  # type: ignore[attr-defined]
    assert "epochs before the encoder moves" in said
    assert "head-first:long" in said


def test_a_backbone() -> None:
    names, said = follow("backbone")
    assert names["trained"].scores["nrmse"] < 2  # type: ignore[attr-defined]
    assert "a BERT of ours" in said and "Pond, 16 x 2" in said


def test_a_metric() -> None:
    _, said = follow("metric")
    assert "mylab/noise" in said and METRICS["worst_point"].reduction == "max"
