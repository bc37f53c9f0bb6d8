"""The README's code runs as it stands there, and its table is what the kept rows give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from benchmarks import catalog
from runner.cli.readme import main as make_readme
from runner.report.quickstart import kept, read_kept
from xmft.errors import RequestError
from xmft.methods import METHODS
from xmft.metrics import METRICS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
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


def test_table_and_picture_are_what_the_generator_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, images = tmp_path / "README.md", Path("docs/images")
    text = README.read_text(encoding="utf-8")
    start, end = text.index("<!-- table: quickstart -->"), text.index("<!-- end -->")
    document.write_text(f"{text[:start]}<!-- table: quickstart -->\n{text[end:]}", encoding="utf-8")
    with pytest.raises(typer.Exit) as ended:
        make_readme(document=document, rows=ROOT / "docs" / "quickstart.parquet", images=images)
    assert ended.value.exit_code == 0, capsys.readouterr()
    assert document.read_text(encoding="utf-8") == text, "run `make readme`"
    for ending in ("svg", "png"):
        assert (ROOT / images / f"quickstart.{ending}").stat().st_size > 1000


def test_kept_rows_are_few_and_say_nothing_of_a_machine() -> None:
    rows = read_kept(ROOT / "docs" / "quickstart.parquet")
    assert rows.select(["host", "invocation", "error"]).to_pylist() == [
        {"host": None, "invocation": None, "error": None}
    ] * len(rows)
    assert kept(rows).equals(rows)
    # 3 tasks x 8 methods x 2 seeds, with at most four rows of the floor each.
    assert len(set(rows["cell_id"].to_pylist())) == 48 and len(rows) <= 48 * 5


def test_rows_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--results DIR makes"):
        read_kept(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing")
    with pytest.raises(RequestError, match="ArrowInvalid"):
        read_kept(tmp_path / "bad.parquet")
