"""The code of the README's section "From Python" runs as it stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import catalog
from xmft.methods import METHODS
from xmft.metrics import METRICS

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(
    r"```python\n(.*?)```",
    README.read_text(encoding="utf-8").partition("## From Python\n")[2].partition("\n## ")[0],
    flags=re.DOTALL,
)
ARRAYS, METHOD, NOTEBOOK, PLUGIN = BLOCKS


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in an empty folder, and leave the registries as they were."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XMFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XMFT_DATA", str(tmp_path / "data"))
    for registry in (METHODS, METRICS, catalog.TASKS):
        monkeypatch.setattr(registry, "_entries", dict(registry))
    yield


def test_own_arrays_method_backbone_and_plug_in() -> None:
    names: dict[str, object] = {"__name__": "readme"}
    for block in (ARRAYS, METHOD):
        exec(block, names)
    trained = names["trained"]
    assert trained.scores["nrmse"] < 1.5  # type: ignore[attr-defined]
    assert names["fields"].shape == (40, 1, 64)  # type: ignore[attr-defined]
    exec(PLUGIN, names)
    assert "head-first" in METHODS and "worst" in METRICS
    data = catalog.get("mylab/waves")
    assert data.task.metrics == ("nrmse", "worst")


@pytest.mark.ray
def test_grids_and_leaderboards_in_a_notebook(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names: dict[str, object] = {"__name__": "readme"}
    exec(NOTEBOOK, names)
    shown = capsys.readouterr().out
    assert "nft" in shown and "mean" in shown and "cells:" not in shown
    assert names["rows"].num_rows > 0  # type: ignore[attr-defined]
