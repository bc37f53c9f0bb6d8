"""`xmft diff` where a change lost something: it crashes on a task, or results are not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from runner.ledger import Ledger
from runner.report.diff import Difference, compare_ledgers
from runner.results import results
from tests.runner import boards
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import output_of, xmft

# What gives the cells of a changed method other ids.
CHANGES: tuple[dict[str, Any], ...] = (
    {"method_version": 2},
    {"recipe": {"epochs": 30}},
    {"data": "made-anew"},
    {"method_config": {"x": 2}},
    {"method_version": 2, "data": "made-anew"},
)


def compared(first: list[pa.Table], second: list[pa.Table]) -> Difference:
    tables = [results(pa.concat_tables(tables)) for tables in (first, second)]
    return compare_ledgers(*tables)


def crashed(method: str, seed: int = 0, **config: Any) -> pa.Table:
    """A cell that failed before its data were opened: it does not know their origin."""
    return boards.cell(method, "s/a", seed, None, failure="code", **config)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_method_that_crashes_on_a_task_is_worse(change: dict[str, Any]) -> None:
    first = [boards.cell("orca", "s/a", seed, 0.5) for seed in (0, 1)]
    second = [crashed("orca", seed, **change) for seed in (0, 1)]
    found = compared(first, second)
    assert [(one.kind, one.origin) for one in found.cells] == [("failed in B", "generated")] * 2
    assert found.worse == ["orca on s/a seed 0 (code)", "orca on s/a seed 1 (code)"]
    assert [one.kind for one in compared(second, first).cells] == ["failed in A"] * 2
    assert compared(second, first).worse == []


def test_a_failed_cell_goes_with_the_origin_that_is_left() -> None:
    kinds = [("generated", 0.5), ("official", 0.7)]
    first = [boards.cell("orca", "s/a", 0, value, origin=origin) for origin, value in kinds]
    official = boards.cell("orca", "s/a", 0, 0.7, origin="official", method_version=2)
    found = compared(first, [official, crashed("orca", data="new", method_version=2)])
    assert {(one.origin, one.kind) for one in found.cells} == {
        ("official", "same"),
        ("generated", "failed in B"),
    }
    # It may be either of them: nothing is paired, and what is missing is told.
    found = compared(first, [crashed("orca", data="new", method_version=2)])
    assert sorted(one.kind for one in found.cells) == ["only in A", "only in A", "only in B"]
    assert found.incomparable == ["orca (version=1) on s/a (not in B)"] * 2


def test_the_origin_is_known_from_the_same_data_in_the_other_ledger() -> None:
    kinds = [("generated", 0.5), ("official", 0.7)]
    first = [boards.cell("orca", "s/a", 0, value, origin=origin) for origin, value in kinds]
    failed = crashed("orca", method_version=2, data="official-s/a")
    found = compared(first, [failed])
    assert {(one.origin, one.kind) for one in found.cells} == {
        ("official", "failed in B"),
        ("generated", "only in A"),
    }


def test_entries_of_a_without_anything_comparable_in_b() -> None:
    first = [boards.cell("orca", "s/a", seed, 0.5) for seed in (0, 1)]
    # One seed is left: it is compared, the other one is told.
    found = compared(first, [boards.cell("orca", "s/a", 0, 0.5, method_version=2)])
    assert (found.incomparable, found.lost) == ([], ["orca (version=1) on s/a seed 1"])
    # What is there in B failed in A, what was ok in A is not there.
    first = [first[0], crashed("orca", 1, data="generated-s/a")]
    found = compared(first, [boards.cell("orca", "s/a", 1, 0.5)])
    assert found.incomparable == ["orca on s/a (not in B)"]
    # What never went well is no loss.
    assert compared([crashed("orca")], [boards.cell("nft", "s/a", 0, 0.5)]).incomparable == []


def made(folder: Path, *attempts: Any) -> str:
    ledger = Ledger(folder)
    ledger.prepare()
    for attempt in attempts:
        ledger.write_attempt(attempt)
    return ledger.uri


def test_exit_codes_of_what_is_lost(tmp_path: Path) -> None:
    two = [
        attempt_of(cell_of("s/a", method, seed), score_of(0.5))
        for method in ("orca", "nft")
        for seed in (0, 1)
    ]
    a = made(tmp_path / "a", *two)
    changed = [cell_of("s/a", "nft", seed, method_version=2) for seed in (0, 1)]
    failed = [attempt_of(cell, failure="code", data_origin=None) for cell in changed]
    b = made(tmp_path / "b", *two[:2], *failed)
    result = xmft("diff", a, b, "--fail-if-worse")
    assert result.exit_code == 1
    assert "Worse in B: nft on s/a seed 0 (code); nft on s/a seed 1 (code)" in result.stderr
    gone = made(tmp_path / "c", *two[:2])
    assert xmft("diff", a, gone).exit_code == 0
    result = xmft("diff", a, gone, "--fail-if-worse")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Not in B: nft on s/a seed 0; nft on s/a seed 1",
        "Nothing in B to compare with: nft on s/a (not in B)",
    ]
    output_of("diff", a, gone, "--fail-if-worse", "--methods", "orca")
    output_of("diff", gone, a, "--fail-if-worse")  # new ones are no loss
    less = made(tmp_path / "d", *two[:3])
    result = xmft("diff", a, less, "--fail-if-worse")
    assert (result.exit_code, result.stderr.strip()) == (0, "Not in B: nft on s/a seed 1")
