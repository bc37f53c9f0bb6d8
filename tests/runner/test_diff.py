"""`xmft diff`: numbers worked by hand, cells that are the same and cells that are not."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from runner.console import console
from runner.ledger import Ledger
from runner.report.diff import Difference, compare_ledgers
from runner.results import results
from tests.runner import boards
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import output_of, refused, xmft


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 400)


def of(values: dict[str, list[float]], **options: Any) -> list[pa.Table]:
    """Cells of a task by method, one for each seed."""
    return [
        boards.cell(method, "s/a", seed, value, **options)
        for method, found in values.items()
        for seed, value in enumerate(found)
    ]


def compared(first: list[pa.Table], second: list[pa.Table], **options: Any) -> Difference:
    tables = [results(pa.concat_tables(tables)) for tables in (first, second)]
    return compare_ledgers(*tables, **options)


# By hand: std of (0.2, 0.4) and of (0.3, 0.5) is sqrt(0.02) = 0.1414, pooled the same.
@pytest.mark.parametrize(
    ("before", "after", "direction", "verdict"),
    [
        ((0.2, 0.4), (0.3, 0.5), "min", "within the spread"),  # 0.1 < 0.1414
        ((0.2, 0.4), (0.4, 0.6), "min", "worse"),  # 0.2 > 0.1414
        ((0.2, 0.4), (0.4, 0.6), "max", "better"),
        ((0.4, 0.6), (0.2, 0.4), "min", "better"),
        ((0.4, 0.6), (0.2, 0.4), "max", "worse"),
        ((0.2, 0.4), (0.2, 0.4), "min", "same"),
        ((0.2, 0.4), (0.4, 0.2), "min", "within the spread"),  # the seeds swapped
        # One has no spread: sqrt((0.02 + 0) / 2) = 0.1.
        ((0.2, 0.4), (0.39, 0.39), "min", "within the spread"),  # 0.09
        ((0.2, 0.4), (0.41, 0.41), "min", "worse"),  # 0.11
        # None has: 1 % of the mean.
        ((0.5, 0.5), (0.504, 0.504), "min", "within the spread"),
        ((0.5, 0.5), (0.506, 0.506), "min", "worse"),
        ((0.5,), (0.504,), "min", "within the spread"),
        ((0.5,), (0.494,), "min", "better"),
        ((0.5,), (0.506,), "max", "better"),
        # The spread is less than how machines round.
        ((0.5, 0.5 + 1e-16), (0.5 + 1e-9, 0.5 + 1e-9), "min", "within the spread"),
        ((0.0, 0.0), (0.1, 0.1), "min", "worse"),
    ],
)
def test_verdicts_by_hand(
    before: tuple[float, ...], after: tuple[float, ...], direction: str, verdict: str
) -> None:
    tables = [of({"orca": list(values)}, direction=direction) for values in (before, after)]
    (one,) = compared(*tables).entries
    assert one.verdict == verdict
    assert one.seeds == tuple(range(len(before)))
    assert one.difference == pytest.approx(np.mean(after) - np.mean(before))
    if len(before) > 1:
        variances = np.var(before, ddof=1) + np.var(after, ddof=1)
        assert one.spread == pytest.approx(math.sqrt(variances / 2))
    else:
        assert one.spread is None
    if np.mean(before):
        assert one.relative == pytest.approx(np.mean(after) / np.mean(before) - 1)
    else:
        assert one.relative is None


def test_the_tolerance_is_for_what_has_no_spread() -> None:
    tables = of({"orca": [0.5]}), of({"orca": [0.52]})
    assert compared(*tables).entries[0].verdict == "worse"
    assert compared(*tables, tolerance=0.05).entries[0].verdict == "within the spread"
    assert compared(*tables, tolerance=0.0).entries[0].verdict == "worse"
    seeds = of({"orca": [0.2, 0.4]}), of({"orca": [0.3, 0.5]})
    assert compared(*seeds, tolerance=0.0).entries[0].verdict == "within the spread"


def test_means_are_over_the_seeds_that_both_have() -> None:
    found = compared(of({"orca": [0.2, 0.4, 9.0]}), of({"orca": [0.2, 0.4]}))
    (one,) = found.entries
    assert (one.seeds, one.verdict) == ((0, 1), "same")
    assert [cell.kind for cell in found.cells] == ["same", "same", "only in A"]
    assert found.worse == []


def test_what_is_in_one_alone_or_failed_is_told() -> None:
    failed = boards.cell("nft", "s/a", 0, None, failure="oom", data="generated-s/a")
    back = boards.cell("pare", "s/a", 0, None, failure="code", data="generated-s/a")
    first = [*of({"orca": [0.2], "nft": [0.3], "mona": [0.4]}), back]
    second = [*of({"orca": [0.2], "pare": [0.3], "fpt": [0.4]}), failed]
    found = compared(first, second)
    assert {cell.entry: cell.kind for cell in found.cells} == {
        "orca": "same",
        "nft": "failed in B",
        "mona": "only in A",
        "pare": "failed in A",
        "fpt": "only in B",
    }
    assert found.worse == ["nft on s/a seed 0 (oom)"]
    # An entry that A has and B has not cannot be compared; one that is new needs not.
    told = [(one.entry, one.verdict, one.why) for one in found.entries]
    assert told == [("mona", "not comparable", "not in B"), ("orca", "same", "")]
    both = compared([failed], [failed])
    assert [cell.kind for cell in both.cells] == ["failed in both"]
    assert (both.worse, both.compared) == ([], False)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {"method_version": 2}, "method_version 1 -> 2"),
        ({}, {"data": "others"}, "data"),
        ({}, {"weights": "w1"}, "weights"),
        ({}, {"recipe": {"epochs": 30}}, "recipe.epochs 20 -> 30"),
        ({"method_config": {"a": 1}}, {"method_config": {"b": 1}}, "method_config.a 1 -> null"),
        ({}, {"source": "cifar10@1"}, "source null -> cifar10@1"),
        ({}, {"plugins": {"method:lab": "abc"}}, "plugins"),
        ({}, {"metrics": ("nrmse", "mae")}, "metric_versions.mae null -> 1"),
    ],
)
def test_cells_of_another_identity_are_paired_and_it_is_told(
    before: dict[str, Any], after: dict[str, Any], told: str
) -> None:
    found = compared(of({"orca": [0.2, 0.4]}, **before), of({"orca": [0.4, 0.6]}, **after))
    assert [cell.kind for cell in found.cells] == ["changed", "changed"]
    assert all(told in cell.identity for cell in found.cells)
    assert [one.verdict for one in found.entries] == ["worse"]


@pytest.mark.parametrize(
    ("after", "why"),
    [
        ({"metric_versions": {"nrmse": 2}}, "nrmse v1 in A, v2 in B"),
        ({"metrics": ("rmse",)}, "ranked by nrmse in A, rmse in B"),
        ({"task_version": 2}, "task v1 in A, v2 in B"),
        ({"direction": "max"}, "nrmse is min in A, max in B"),
    ],
)
def test_numbers_that_mean_something_else_are_not_compared(after: dict[str, Any], why: str) -> None:
    found = compared(of({"orca": [0.2, 0.4]}), of({"orca": [0.4, 0.6]}, **after))
    (one,) = found.entries
    assert (one.verdict, one.why, one.difference) == ("not comparable", why, None)
    assert {cell.kind for cell in found.cells} == {"not comparable"}
    assert (found.worse, found.compared) == ([], False)


def test_options_decide_where_a_method_has_several() -> None:
    def two(version: int, shift: float) -> list[pa.Table]:
        return [
            boards.cell(
                "orca", "s/a", 0, value + shift, method_config={"x": x}, method_version=version
            )
            for x, value in ((1, 0.5), (2, 0.7))
        ]

    found = compared(two(1, 0.0), two(2, 0.1))
    values = {
        (cell.first.value, cell.second.value) for cell in found.cells if cell.first and cell.second
    }
    assert values == {(0.5, 0.6), (0.7, 0.7 + 0.1)}
    assert len(found.entries) == 2
    # Where they do not decide, nothing is paired.
    other = [
        boards.cell("orca", "s/a", 0, value, method_config={"x": x})
        for x, value in ((3, 1), (4, 2))
    ]
    kinds = [cell.kind for cell in compared(two(1, 0.0), other).cells]
    assert sorted(kinds) == ["only in A"] * 2 + ["only in B"] * 2


def test_another_origin_or_backbone_is_another_cell() -> None:
    first = of({"orca": [0.2]})
    for change in ({"origin": "official"}, {"backbone": "roberta-base"}):
        kinds = [cell.kind for cell in compared(first, of({"orca": [0.2]}, **change)).cells]
        assert sorted(kinds) == ["only in A", "only in B"]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """Two ledgers: orca worse on two tasks of which one has more spread, nft better."""
    places = []
    for name, shift in (("a", 0.0), ("b", 0.3)):
        ledger = Ledger(tmp_path / name)
        ledger.prepare()
        for seed in (0, 1):
            for task, spread in (("s/a", 0.1), ("s/b", 1.0)):
                value = 0.5 + shift + spread * seed
                ledger.write_attempt(attempt_of(cell_of(task, "orca", seed), score_of(value)))
            value = 0.5 - shift + 0.1 * seed
            ledger.write_attempt(attempt_of(cell_of("s/a", "=nft", seed), score_of(value)))
        places.append(ledger.uri)
    return places[0], places[1]


def test_exit_codes(pair: tuple[str, str], tmp_path: Path) -> None:
    a, b = pair
    assert xmft("diff", a, b).exit_code == 0
    result = xmft("diff", a, b, "--fail-if-worse")
    assert result.exit_code == 1
    assert result.stderr.strip() == "Worse in B: orca on s/a"
    result = xmft("diff", b, a, "--fail-if-worse")
    assert (result.exit_code, result.stderr.strip()) == (1, "Worse in B: =nft on s/a")
    assert xmft("diff", a, a, "--fail-if-worse").exit_code == 0
    for words in (["--methods", "=nft"], ["--tasks", "s/b"]):
        assert xmft("diff", a, b, *words, "--fail-if-worse").exit_code == 0
    assert xmft("diff", a, b, "--seeds", "0", "--tasks", "s/b", "--fail-if-worse").exit_code == 1
    words = ["--seeds", "0", "--tasks", "s/b", "--tolerance", "0.7", "--fail-if-worse"]
    assert xmft("diff", a, b, *words).exit_code == 0  # 0.3 of 0.5 is 60 %
    for words, told in (
        ([a, tmp_path / "none"], "holds no results"),
        ([a, b, "--protocol", "released"], "holds no results of the protocol released"),
        ([a, b, "--protocol", "x"], "Unknown protocol 'x'"),
        ([a, b, "--format", "html"], "Unknown format 'html'"),
        ([a, b, "--selection", "lats"], "Did you mean 'last'"),
        ([a, b, "--methods", "orka"], "Did you mean 'orca'"),
        ([a, b, "--seeds", "x"], "whole numbers"),
        ([a, tmp_path / "none.parquet"], "There is no file"),
    ):
        assert told in refused(tmp_path, "diff", *words)


def test_nothing_to_compare_is_not_good(pair: tuple[str, str], tmp_path: Path) -> None:
    other = Ledger(tmp_path / "c")
    other.prepare()
    for seed in (0, 1):
        cell = cell_of("s/a", "orca", seed, metric_versions={"nrmse": 2})
        other.write_attempt(attempt_of(cell, score_of(9.0, metric_version=2)))
    assert xmft("diff", pair[0], other.uri).exit_code == 0
    result = xmft("diff", pair[0], other.uri, "--fail-if-worse")
    assert (result.exit_code, result.stdout.count("v1 in A, v2 in B")) == (1, 1)
    assert "Nothing could be compared" in result.stderr


def test_a_submission_and_a_damaged_file(pair: tuple[str, str], tmp_path: Path) -> None:
    a, b = pair
    lab = tmp_path / "lab.parquet"
    output_of("submit-results", "--results", a, "--to", lab)
    text = output_of("diff", a, lab, "--fail-if-worse")
    assert "6 cells: 6 same; 3 entries on tasks: 3 same" in text
    next(Path(a).glob("cells/*/attempt-1.arrow")).write_bytes(b"x")
    result = xmft("diff", a, b)
    assert result.exit_code == 1
    assert "could not be read" in result.stderr


def test_formats_say_the_same(pair: tuple[str, str]) -> None:
    a, b = pair
    table = output_of("diff", a, b)
    said = json.loads(output_of("diff", a, b, "--format", "json"))
    rows = list(csv.DictReader(io.StringIO(output_of("diff", a, b, "--format", "csv"))))
    markdown = output_of("diff", a, b, "--format", "md")
    assert (said["a"], said["b"], said["worse"]) == (a, b, ["orca on s/a"])
    entries = [record for record in said["records"] if record["level"] == "entry"]
    assert {(one["task"], one["entry"]): one["verdict"] for one in entries} == {
        ("s/a", "orca"): "worse",
        ("s/a", "=nft"): "better",
        ("s/b", "orca"): "within the spread",
    }
    assert len(said["records"]) == len(rows) == 3 + 6
    for record, row in zip(said["records"], rows, strict=True):
        assert row["entry"].removeprefix("'") == record["entry"]
        assert float(row["a"]) == record["a"]
    assert {row["entry"] for row in rows} == {"orca", "'=nft"}  # no formula
    for text in (table, markdown):
        for part in ("+54.55%", "-54.55%", "within the spread", said["summary"]):
            assert part in text
