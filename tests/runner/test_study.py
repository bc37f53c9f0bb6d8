from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import typer
from typer.testing import CliRunner

from runner.ledger import Ledger
from runner.report.study import fill, tables
from runner.report.study.__main__ import main
from runner.schema import Attempt, MetricValue, attempt_table
from xmft.errors import RequestError

DAY = datetime(2025, 3, 4, tzinfo=UTC)
DOCUMENT = Path(__file__).parents[2] / "docs" / "study-methods.md"


def attempt(
    method: str,
    task: str,
    seed: int,
    value: float | None,
    *,
    terms: dict[str, float] | None = None,
    origin: str = "generated",
    direction: str = "min",
    align_s: float = 2.0,
    last: float = 99.0,
    recipe: dict[str, Any] | None = None,
    predictor: dict[str, Any] | None = None,
) -> Attempt:
    """A cell as the runner writes it down; `terms` maps `selection/metric/epoch` to a value."""
    config = {
        "task": task,
        "task_version": 1,
        "method": method,
        "method_version": 1,
        "method_config": {"preset": method} | ({"predictor": predictor} if predictor else {}),
        "recipe": {"epochs": 20, "samples": 100} | (recipe or {}),
        "backbone": "minilm",
        "weights": "w0",
        "source": None if method == "nft" else "stdlib-docs@1",
        "protocol": "clean",
        "seed": seed,
        "data": f"{origin}-{task}",
        "metric_versions": {"nrmse": 1},
    }
    text = json.dumps(config)

    def row(split: str, selection: str, metric: str, number: float, epoch: int) -> MetricValue:
        return MetricValue(
            split=split,
            selection=selection,
            metric=metric,
            metric_version=1,
            direction=direction,
            value=number,
            epoch=epoch,
        )

    metrics: list[MetricValue] = []
    if value is not None:
        metrics = [
            row("test", "best_val", "nrmse", value, 9),
            row("test", "last", "nrmse", last, 9),
            row("val", "best_val", "nrmse", 98.0, 9),
        ]
        for key, number in (terms or {}).items():
            selection, metric, epoch = key.split("/")
            metrics.append(row("train", selection, metric, number, int(epoch)))
    return Attempt(
        cell_id=hashlib.sha256(text.encode()).hexdigest()[:16],
        task=task,
        suite="s",
        task_version=1,
        method=method,
        method_version=1,
        backbone="minilm",
        seed=seed,
        protocol="clean",
        data_origin=origin if value is not None else None,
        status="ok" if value is not None else "failed",
        failure=None if value is not None else "oom",
        error=None if value is not None else "too big",
        align_s=align_s,
        fit_s=5.0,
        wall_s=10.0,
        worker_count=1,
        device="abacus",
        precision="float32",
        git_revision="0123456789abcdef",
        git_dirty=False,
        versions={"torch": "2"},
        host="secret-host",
        started_at=DAY,
        finished_at=DAY,
        config_json=text,
        metrics=tuple(metrics),
    )


def ledger(*attempts: Attempt) -> pa.Table:
    return pa.concat_tables([attempt_table(item, 1) for item in attempts])


def rows_of(markdown: str) -> list[dict[str, str]]:
    """The rows of all Markdown tables in a text, by the header of each."""
    rows, header = [], None
    for line in markdown.splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [
            text.strip().replace("\0", "|")
            for text in line.replace("\\|", "\0").strip("|").split("|")
        ]
        if header is None:
            header = cells
        elif set(cells) != {"---"}:
            rows.append(dict(zip(header, cells, strict=True)))
    return rows


# Means: recraft 0.2 and 0.4, nft 0.4 and 0.3, recraft:released 0.5 and 0.6.
TWO_TASKS = {
    ("recraft", "s/a"): (0.1, 0.3),
    ("recraft", "s/b"): (0.4, 0.4),
    ("nft", "s/a"): (0.4, 0.4),
    ("nft", "s/b"): (0.2, 0.4),
    ("recraft:released", "s/a"): (0.5, 0.5),
    ("recraft:released", "s/b"): (0.6, 0.6),
}


def two_tasks(**options: Any) -> list[Attempt]:
    return [
        attempt(method, task, seed, value, **options)
        for (method, task), values in TWO_TASKS.items()
        for seed, value in enumerate(values)
    ]


def test_scores_have_the_mean_and_the_deviation_and_mark_the_best() -> None:
    first, second = rows_of(tables(ledger(*two_tasks()))["scores"])
    assert first == {
        "task": "s/a",
        "metric": "nrmse ↓",
        "floor": "-",
        "recraft": "**0.2000 ± 0.1414**",  # 0.2 / sqrt(2)
        "nft": "0.4000 ± 0.0000",
        "recraft:released": "0.5000 ± 0.0000",
    }
    assert (second["recraft"], second["nft"]) == ("0.4000 ± 0.0000", "**0.3000 ± 0.1414**")


def test_ranks_by_hand() -> None:
    rows = {row["entry"]: row for row in rows_of(tables(ledger(*two_tasks()))["ranks"])}
    assert [(row["average rank"], row["tasks won"]) for row in rows.values()] == [
        ("1.50", "1 of 2"),
        ("1.50", "1 of 2"),
        ("3.00", "0 of 2"),
    ]
    assert (rows["nft"]["stage 1, s"], rows["nft"]["fitting, s"]) == ("2.0", "5.0")


def test_wins_by_hand() -> None:
    rows = {x["recraft against"]: x for x in rows_of(tables(ledger(*two_tasks()))["wins"])}
    assert set(rows) == {"nft", "recraft:released"}
    # Two wins, one loss and one tie; the ratios are 1/2 and 4/3.
    assert [*rows["nft"].values()][1:] == ["1 of 2", "62% of 4", "0.917", "1"]
    # Better on both: of the four ways to sign two differences, the extreme two.
    assert [*rows["recraft:released"].values()][1:] == ["2 of 2", "100% of 4", "0.533", "0.5"]


@pytest.mark.parametrize(("direction", "ours", "theirs"), [("min", 0.2, 0.4), ("max", 0.4, 0.2)])
def test_better_on_every_task_in_either_direction(
    direction: str, ours: float, theirs: float
) -> None:
    cells = [
        attempt(method, f"s/{task}", 0, value, direction=direction)
        for task in range(6)
        for method, value in (("recraft", ours), ("nft", theirs))
    ]
    # Differences of six sizes and one sign.
    cells += [
        attempt("orca", f"s/{task}", 0, theirs * (1 + 0.01 * task), direction=direction)
        for task in range(6)
    ]
    rows = {row["recraft against"]: row for row in rows_of(tables(ledger(*cells))["wins"])}
    assert rows["nft"]["median ratio of errors"] == "0.500"
    assert rows["orca"]["better on"] == "6 of 6"
    assert float(rows["orca"]["p"]) == pytest.approx(2 / 2**6, abs=5e-4)


def test_equal_results_are_half_a_win_and_no_evidence() -> None:
    cells = [attempt(method, "s/a", 0, 0.5) for method in ("recraft", "nft")]
    (row,) = rows_of(tables(ledger(*cells))["wins"])
    assert [*row.values()] == ["nft", "0 of 1", "50% of 1", "1.000", "-"]


def test_what_is_incomplete_is_compared_on_what_both_have_but_not_ranked() -> None:
    cells = [
        cell
        for cell in two_tasks()
        if (cell.method, cell.task, cell.seed) != ("recraft:released", "s/b", 1)
    ]
    made = tables(ledger(*cells, attempt("recraft:released", "s/b", 1, None)))
    rows = {row["entry"]: row for row in rows_of(made["ranks"])}
    assert rows["recraft:released"]["average rank"] == "-"
    assert rows["recraft:released"]["missing"] == "s/b seeds 1 (oom)"
    assert rows["recraft"]["average rank"] == "1.50"
    assert rows_of(made["scores"])[1]["recraft:released"] == "0.6000 [1 of 2 seeds]"
    wins = {row["recraft against"]: row for row in rows_of(made["wins"])}
    assert wins["recraft:released"]["win rate over tasks and seeds"] == "100% of 3"


def test_without_our_method_there_is_nothing_to_win() -> None:
    cells = [attempt(method, "s/a", 0, 0.5) for method in ("orca", "nft")]
    assert rows_of(tables(ledger(*cells))["wins"]) == []


def test_the_last_epoch_on_request() -> None:
    cells = [attempt("recraft", "s/a", 0, 0.5, last=0.25)]
    (row,) = rows_of(tables(ledger(*cells), selection="last")["scores"])
    assert "0.2500" in row["recraft"]


def measured(before: float, after: float) -> dict[str, float]:
    return {
        "before_alignment/alignment_w2/0": before,
        "after_alignment/alignment_w2/6": after,
        "before_alignment/alignment_lipschitz_violations/0": 0.125,
        "after_alignment/alignment_lipschitz_violations/6": 0.125,
        "last/target_fit/18": 2 * after,
    }


def test_terms_are_means_over_seeds_before_and_after() -> None:
    cells = [
        attempt("recraft", "s/a", seed, 0.5, terms=measured(9.0 + seed, 4.0 + seed))
        for seed in (0, 1)
    ]
    cells.append(attempt("nft", "s/a", 0, 0.5, terms={"last/target_fit/12": 3.0}))
    assert rows_of(tables(ledger(*cells))["bound"]) == [
        {
            "task": "s/a",
            "entry": "recraft",
            "W2": "9.5 → 4.5",
            "violations, source": "0.125",
            "training loss": "9",
        }
    ]


def test_of_two_stages_the_first_is_before_and_the_second_after() -> None:
    terms = {
        "before_alignment/alignment_distortion/0": 2.0,
        "after_alignment/alignment_distortion/6": 1.75,
        "before_distortion/distortion_distortion/6": 1.75,
        "after_distortion/distortion_distortion/10": 1.5,
    }
    (row,) = rows_of(tables(ledger(attempt("recraft", "s/a", 0, 0.5, terms=terms)))["bound"])
    assert row["H(Z'|Z)"] == "2 → 1.5"


def test_terms_are_those_of_the_attempt_that_counts() -> None:
    old, new = (
        attempt("recraft", "s/a", 0, 0.5, terms=measured(9.0, after)) for after in (5.0, 4.0)
    )
    both = pa.concat_tables([attempt_table(old, 1), attempt_table(new, 2)])
    assert rows_of(tables(both)["bound"])[0]["W2"] == "9 → 4"


def test_correlations_with_the_error_by_hand() -> None:
    # On a the error grows with W2 after stage 1; on b ranks 1, 2, 3 meet 2, 1, 3:
    # 1 - 6 * 2 / (3 * 8) = 0.5. The change is -1, -3, -2 on a (-0.5) and -1, -1, -1 on b.
    table = [
        ("s/a", 0, 0.1, measured(2.0, 1.0)),
        ("s/a", 1, 0.2, measured(5.0, 2.0)),
        ("s/a", 2, 0.3, measured(5.0, 3.0)),
        ("s/b", 0, 0.2, measured(2.0, 1.0)),
        ("s/b", 1, 0.1, measured(3.0, 2.0)),
        ("s/b", 2, 0.3, measured(4.0, 3.0)),
        ("s/c", 0, 0.2, measured(2.0, 1.0)),  # too few
    ]
    cells = [attempt("recraft", task, seed, e, terms=terms) for task, seed, e, terms in table]
    cells += [attempt("nft", "s/a", 0, 0.9, terms={"last/target_fit/12": 3.0})]
    rows = {row["term"]: row for row in rows_of(tables(ledger(*cells))["bound-error"])}
    assert rows["W2"]["value after stage 1"] == "+0.75 (2 tasks, 6 cells)"
    assert rows["W2"]["change by stage 1"] == "-0.50 (1 task, 3 cells)"
    assert rows["training loss"]["value after stage 1"] == "+0.75 (2 tasks, 6 cells)"
    assert rows["violations, source"]["value after stage 1"] == "-"  # never differs
    assert rows["W1"]["value after stage 1"] == "-"


def test_what_means_something_else_in_another_cell_is_not_correlated() -> None:
    def terms(number: float) -> dict[str, float]:
        return {
            f"after_alignment/alignment_{term}/6": number
            for term in ("w2", "distortion", "target_fit")
        }

    usual, own = {"plain_steps": 10}, {"plain_steps": 20}
    # In recraft all terms grow with the error. In the others they fall.
    cells = [
        attempt("recraft", "s/a", n, 0.1 + 0.1 * n, terms=terms(n), predictor=usual)
        for n in range(4)
    ]
    cells += [
        attempt(method, "s/a", n, 0.1 + 0.1 * n, terms=terms(-n), predictor=predictor)
        for method, predictor in (("recraft:released", own), ("mona", usual))
        for n in range(3)
    ]
    rows = {row["term"]: row for row in rows_of(tables(ledger(*cells))["bound-error"])}
    counted = {name: row["value after stage 1"] for name, row in rows.items()}
    assert counted["W2"].endswith("10 cells)")
    assert counted["H(Z'|Z)"].endswith("7 cells)") and counted["target fit"].endswith("7 cells)")
    only = [cell for cell in cells if cell.method != "mona"]
    rows = {row["term"]: row for row in rows_of(tables(ledger(*only))["bound-error"])}
    assert rows["H(Z'|Z)"]["value after stage 1"] == "+1.00 (1 task, 4 cells)"
    only = [cell for cell in cells if cell.method != "recraft:released"]
    rows = {row["term"]: row for row in rows_of(tables(ledger(*only))["bound-error"])}
    assert rows["target fit"]["value after stage 1"] == "+1.00 (1 task, 4 cells)"


def test_where_higher_is_better_the_error_is_the_other_way_round() -> None:
    cells = [
        attempt("recraft", "s/a", n, 0.1 * (n + 1), terms=measured(9.0, n), direction="max")
        for n in range(3)
    ]
    rows = {row["term"]: row for row in rows_of(tables(ledger(*cells))["bound-error"])}
    assert rows["W2"]["value after stage 1"] == "-1.00 (1 task, 3 cells)"


def test_the_setting_says_what_was_run_and_where_nothing() -> None:
    text = tables(ledger(*two_tasks()))["setting"]
    assert "cells: 12, of which 12 have a result; seeds 0, 1" in text
    assert "recipe: epochs 20, samples 100" in text
    assert "code: 0123456789ab" in text and "torch 2" in text
    assert "from 2025-03-04 to 2025-03-04" in text
    assert "secret-host" not in text
    for method in ("nft", "recraft", "recraft:released"):
        assert f'* options of {method}: `{{"preset": "{method}"}}`' in text


def test_what_differs_between_tasks_is_a_table() -> None:
    cells = [
        attempt("recraft", "s/a", 0, 0.5, recipe={"resolution": 32}),
        attempt("recraft", "s/b", 0, 0.5, recipe={"resolution": None}),
    ]
    assert rows_of(tables(ledger(*cells))["setting"]) == [
        {"task": "s/a", "resolution": "32"},
        {"task": "s/b", "resolution": "null"},
    ]


def test_data_of_two_origins_do_not_share_a_table() -> None:
    cells = [
        attempt("recraft", "s/a", 0, 0.5),
        attempt("recraft", "s/b", 0, 0.5, origin="official"),
    ]
    for text in tables(ledger(*cells)).values():
        assert text.startswith("**Official data, 1 task**")
        assert text.count("**Generated data, 1 task**") == 1
    scores = tables(ledger(*cells))["scores"].split("**Generated data, 1 task**")
    assert [[row["task"] for row in rows_of(part)] for part in scores] == [["s/b"], ["s/a"]]


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


@pytest.fixture
def results(tmp_path: Path) -> Path:
    ledger = Ledger(tmp_path / "results")
    ledger.prepare()
    for cell in two_tasks(terms=measured(9.0, 4.0)):
        ledger.write_attempt(cell)
    return tmp_path / "results"


def study(*arguments: str | Path) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
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


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--document", "none.md"], "none.md cannot be read"),
        (["--document", "d.md", "--selection", "best"], "Unknown selection 'best'"),
        (["--document", "d.md", "--results", "empty"], "holds no results"),
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
