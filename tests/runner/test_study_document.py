from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from runner.cli import app
from runner.cli.study import main
from runner.config import load_grid
from runner.ledger import Ledger
from runner.ledgers import open_results
from runner.report.study import fill
from runner.results import results as of_cells
from tests.runner.studies import ledger, measured, tables, two_tasks
from xmft.errors import RequestError
from xmft.methods.variants import method_of, options_of

DOCUMENT = Path(__file__).parents[2] / "docs" / "study-methods.md"


TEXT = (
    "# Title\n\n<!-- table: a -->\nold\n<!-- end -->\nbetween\n<!-- table: b --><!-- end -->\nend"
)


def test_only_what_is_between_the_markers_changes_and_only_once() -> None:
    made = {"a": "| A |", "b": "| B |", "c": "| C |"}
    once = fill(TEXT, made)
    assert once == (
        "# Title\n\n<!-- table: a -->\n\n| A |\n\n<!-- end -->\nbetween\n"
        "<!-- table: b -->\n\n| B |\n\n<!-- end -->\nend"
    )
    assert fill(once, made) == once


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("nothing", ["no place for a table", "Known: a, score."]),
        ("<!-- table: scor --><!-- end -->", ["Unknown table 'scor'", "Did you mean 'score'?"]),
        ("<!-- table: a -->\n<!-- table: a -->\n<!-- end -->", ["lines 1, 2, 3"]),
        ("<!-- end --><!-- table: a -->", ["needs its <!-- end -->"]),
        ("<!-- table: a -->", ["needs its <!-- end -->"]),
    ],
)
def test_wrong_markers_are_explained(text: str, parts: list[str]) -> None:
    with pytest.raises(RequestError) as caught:
        fill(text, {"a": "", "score": ""})
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_the_document_of_the_project_has_a_place_for_every_table() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name in tables(ledger(*two_tasks())):
        assert text.count(f"<!-- table: {name} -->") == 1


STUDIES = (
    "study-methods",
    "study-fields",
    "study-options",
    "study-canonical",
    "study-compute",
    "study-samples",
)


@pytest.mark.parametrize("name", STUDIES)
def test_the_tables_of_a_document_are_those_of_the_rows_beside_it(name: str) -> None:
    text = DOCUMENT.with_name(f"{name}.md").read_text(encoding="utf-8")
    rows = open_results([str(DOCUMENT.with_name(f"{name}.parquet"))]).read()
    assert fill(text, tables(rows, ours="recraft", head_trained=["mona"])) == text


@pytest.mark.parametrize("name", STUDIES)
def test_the_rows_beside_a_document_are_of_its_grid(name: str) -> None:
    """Whoever runs the grid gets these cells, whatever defaults have become since."""
    grid = load_grid(name)
    rows = open_results([str(DOCUMENT.with_name(f"{name}.parquet"))]).read()
    for cell in of_cells(rows):
        config = method_of(cell.method).Config
        wanted = config.model_validate(options_of(cell.method, grid.options)).model_dump(
            mode="json"
        )
        # Measuring changes no result: rows of a grid that does not stand in for such as do. Younger
        # options are not in old rows.
        found = {k: v for k, v in cell.config["method_config"].items() if k != "measure_bound"}
        assert {key: wanted[key] for key in found} == found, cell.method
        recipe = grid.recipe_of(cell.task, cell.method).model_dump(mode="json")
        assert all(recipe[key] == value for key, value in cell.config["recipe"].items()), cell


@pytest.fixture
def results(tmp_path: Path) -> Path:
    ledger = Ledger(tmp_path / "results")
    ledger.prepare()
    ledger.prepare()
    for cell in two_tasks(terms=measured(9.0, 4.0)):
        ledger.write_attempt(cell)
    return tmp_path / "results"


def study(*arguments: str | Path) -> tuple[int, str]:
    alone = typer.Typer()
    alone.command()(main)
    result = CliRunner().invoke(alone, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_the_command_twice_gives_the_same_bytes(results: Path, tmp_path: Path) -> None:
    document = tmp_path / "study.md"
    before = DOCUMENT.read_text(encoding="utf-8")
    document.write_text(before, encoding="utf-8")
    arguments = ("--results", results, "--document", document)
    assert study(*arguments)[0] == 0
    first = document.read_bytes()
    assert study(*arguments)[0] == 0
    assert document.read_bytes() == first
    assert "0.2000 ± 0.1414" in first.decode() and "9 → 4" in first.decode()
    assert first.decode().startswith(before.partition("<!-- table")[0])


def test_a_ledger_and_a_submitted_file_are_read_as_one(results: Path, tmp_path: Path) -> None:
    document, file = tmp_path / "study.md", tmp_path / "sent.parquet"
    text = "<!-- table: scores --><!-- end -->\n<!-- table: ranks --><!-- end -->\n"
    pages = []
    sent = CliRunner().invoke(app, ["submit-results", "--results", str(results), "--to", str(file)])
    assert sent.exit_code == 0, sent.output
    for places in ((results,), (file,), (results, file)):
        document.write_text(text, encoding="utf-8")
        named = [part for place in places for part in ("--results", place)]
        assert study("--document", document, *named)[0] == 0
        pages.append(document.read_text(encoding="utf-8"))
    assert pages[0] == pages[1] == pages[2] and "0.2000 ± 0.1414" in pages[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--document", "none.md"], "none.md cannot be read"),
        (["--document", "d.md", "--selection", "best"], "Unknown selection 'best'"),
        (["--document", "d.md", "--results", "empty"], "holds no results"),
        (
            ["--document", "d.md", "--results", "results", "--ours", "recraf"],
            "--ours: the results have no 'recraf'. Did you mean 'recraft'?",
        ),
        (
            ["--document", "d.md", "--results", "results", "--head-trained", "nft,monna"],
            "--head-trained: unknown method 'monna'. Did you mean 'mona'?",
        ),
    ],
)
def test_wrong_requests_leave_the_document_alone(
    tmp_path: Path,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.md").write_text(TEXT)
    code, output = study(*arguments)
    assert code == 2
    assert sentence in " ".join(output.split())
    assert Path("d.md").read_text() == TEXT
