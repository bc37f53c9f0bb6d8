"""Several ledgers read as one."""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from runner import leaderboard
from runner.compaction import compact
from runner.conflicts import conflicts
from runner.ledger import Ledger
from runner.ledgers import Ledgers, open_results
from runner.report.compare import build
from runner.results import RESULT_COLUMNS, results
from runner.schema import SCHEMA
from tests.runner.attempts import DAY, attempt_of, cell_of, score_of
from tests.runner.storage.test_compaction import same
from xmft.errors import RequestError
from xmft.task import CurvePoint

Make = Callable[[str], Ledger]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def ledger(name: str) -> Ledger:
        made = Ledger(tmp_path / name)
        made.prepare()
        return made

    return ledger


def finished(day: int, value: float = 0.5, **changes: Any) -> Any:
    at = DAY + timedelta(days=day)
    cell = cell_of(**{key: changes.pop(key) for key in ("seed", "method") if key in changes})
    return attempt_of(cell, score_of(value), started_at=at, finished_at=at, **changes)


def value_of(table: pa.Table) -> float | None:
    (one,) = results(table)
    return one.value


def test_one_ledger_is_that_ledger(make: Make) -> None:
    one = make("one")
    one.write_attempt(finished(1))
    for places in ([one.uri], [one.uri, f"{one.uri}/"], [one.uri, f"file://{one.uri}"]):
        opened = open_results(places)
        assert isinstance(opened, Ledger)
        assert opened.read().equals(one.read())
    assert open_results([one.uri + "/none"]).read().num_rows == 0


def test_links_to_a_ledger_are_that_ledger(make: Make, tmp_path: Path) -> None:
    one = make("one")
    (tmp_path / "link").symlink_to(one.uri)
    assert isinstance(open_results([tmp_path / "link", one.uri]), Ledger)


def test_cells_of_all_ledgers_are_there_with_their_numbers(make: Make) -> None:
    one, other = make("one"), make("other")
    one.write_attempt(finished(1, seed=0, failure="oom"))
    one.write_attempt(finished(2, seed=0))
    other.write_attempt(finished(3, seed=1))
    both = open_results([one.uri, other.uri])
    assert isinstance(both, Ledgers)
    alone = pa.concat_tables([one.read(), other.read()])
    assert same(both.read(), alone.sort_by([("cell_id", "ascending"), ("attempt", "ascending")]))
    assert both.read().schema.equals(SCHEMA)
    assert set(both.rows()["ledger"].to_pylist()) == {one.shown, other.shown}


def test_a_copied_attempt_counts_once(make: Make, tmp_path: Path) -> None:
    one = make("one")
    one.write_attempt(finished(1, failure="oom"))
    one.write_attempt(finished(2))
    one.write_attempt(finished(1, failure="oom"))  # as the first one, in all it says
    copy = Ledger(shutil.copytree(one.uri, tmp_path / "copy"))
    compact(copy)
    renumbered = make("renumbered")
    renumbered.write_attempt(finished(2))
    places = [one.uri, copy.uri, renumbered.uri]
    for order in itertools.permutations(places):
        both = open_results(order)
        assert sorted(both.read()["status"].to_pylist()) == ["failed", "failed", "ok"]
        assert both.read()["attempt"].to_pylist() == [1, 2, 3]
        assert conflicts(both.rows(RESULT_COLUMNS)) == []
    (cell,) = results(open_results(places).rows(RESULT_COLUMNS))
    assert (cell.attempts, cell.wall_s) == (3, 30.0)


def test_an_attempt_that_was_edited_is_not_the_same(make: Make) -> None:
    one, other = make("one"), make("other")
    one.write_attempt(finished(2, 0.5))
    other.write_attempt(finished(2, 0.1))
    for places, counts in (([one, other], 0.5), ([other, one], 0.1)):
        rows = open_results([ledger.uri for ledger in places]).rows(RESULT_COLUMNS)
        assert value_of(rows) == counts  # of the one that is named first
        (conflict,) = conflicts(rows)
        assert f"attempt 2 ({places[0].shown}), which counts" in conflict.text


def test_the_latest_ok_attempt_counts_and_others_are_told(make: Make) -> None:
    one, other = make("one"), make("other")
    one.write_attempt(finished(2, 0.5))
    other.write_attempt(finished(1, 0.4))
    other.write_attempt(finished(3, failure="oom"))
    for places in ([one.uri, other.uri], [other.uri, one.uri]):
        rows = open_results(places).rows(RESULT_COLUMNS)
        (cell,) = results(rows)
        assert (cell.value, cell.attempts, cell.attempt) == (0.5, 3, 2)
        (conflict,) = conflicts(rows)
        assert (
            f"attempt 1 ({other.shown}) is ok with other values than attempt 2 ({one.shown}), "
            "which counts: test best_val nrmse 0.4 instead of 0.5"
        ) in conflict.text
        (board,) = build(rows)
        assert conflict.text in board.notes
        (board,) = leaderboard(places)
        assert conflict.text in board.notes


def test_what_counts_is_what_a_search_through_all_files_finds(make: Make) -> None:
    rng = random.Random(5)
    ledgers = [make(name) for name in "abc"]
    known: dict[str, set[tuple[datetime, bool, float]]] = {}
    for day in range(60):
        attempt = finished(
            day, rng.random(), seed=rng.randrange(8), failure=rng.choice((None, None, "oom"))
        )
        for ledger in rng.sample(ledgers, rng.choice((1, 1, 2, 3))):
            ledger.write_attempt(attempt)
        value = attempt.metrics[0].value if attempt.metrics else 0.0
        known.setdefault(attempt.cell_id, set()).add(
            (attempt.finished_at, attempt.status == "ok", value)
        )
    compact(ledgers[1])
    for order in itertools.permutations(ledgers):
        found = results(open_results([ledger.uri for ledger in order]).rows(RESULT_COLUMNS))
        assert {cell.cell_id: cell.attempts for cell in found} == {
            cell_id: len(attempts) for cell_id, attempts in known.items()
        }
        for cell in found:
            ok = [(at, value) for at, good, value in known[cell.cell_id] if good]
            assert cell.value == (max(ok)[1] if ok else None)


def test_curves_and_cells_are_found_where_they_are(make: Make) -> None:
    one, other = make("one"), make("other")
    for ledger, day, value in ((one, 1, 0.5), (other, 2, 0.6)):
        ledger.write_attempt(finished(day, value))
        point = CurvePoint(epoch=1, split="val", name="nrmse", value=value)
        ledger.write_curves(cell_of().id, [point])
    alone = finished(3, seed=9)
    one.write_attempt(alone)
    one.write_curves(alone.cell_id, [CurvePoint(epoch=1, split="val", name="a", value=1.0)])
    both = open_results([one.uri, other.uri])
    assert isinstance(both, Ledgers)
    assert both.curves(cell_of().id)["value"].to_pylist() == [0.6]  # of the attempt that counts
    assert both.holder(cell_of().id).shown == other.shown
    assert both.curves(alone.cell_id)["value"].to_pylist() == [1.0]
    assert both.examples(alone.cell_id) is None
    assert both.curves("0" * 16).num_rows == 0
    assert both.find(alone.cell_id[:8]) == alone.cell_id
    with pytest.raises(RequestError, match=r"No cell of .*one \+ .*other begins with 'x'"):
        both.find("x")
    assert both.read(cell_id=alone.cell_id).equals(one.read(cell_id=alone.cell_id))


def test_what_the_ledgers_were_made_with_is_told(make: Make) -> None:
    one, other = make("one"), make("other")
    one.write_attempt(finished(1))
    other.write_attempt(
        finished(2, seed=1, git_revision="def", versions={"torch": "3", "numpy": "2"})
    )
    both = open_results([one.uri, other.uri])
    assert isinstance(both, Ledgers)
    text = "\n".join(both.notes())
    assert f"2 ledgers: {one.shown} (1 cells), {other.shown} (1 cells)" in text
    assert "several have" not in text
    assert f"another revision: abc ({one.shown}), def ({other.shown})" in text
    assert f"another torch: 2 ({one.shown}), 3 ({other.shown})" in text
    assert "numpy" not in text and "device" not in text


def test_places_that_are_no_ledgers_are_told(make: Make, tmp_path: Path) -> None:
    one = make("one")
    (tmp_path / "rows.csv").write_text("a,b\n")
    for places, told in (
        ([one.uri, tmp_path / "none"], "There are no results at .*none"),
        ([tmp_path / "rows.csv"], "rows.csv is a file: results are a folder"),
        ([one.uri, "ftp://host/x"], "Cannot open"),
        ([], "No results are named"),
    ):
        with pytest.raises(RequestError, match=told):
            open_results(places)
    other = make("other")
    assert open_results([one.uri, other.uri]).read().num_rows == 0


def test_a_newer_schema_in_one_of_several_is_refused(make: Make) -> None:
    from runner.schema import SCHEMA_VERSION, VERSION_KEY
    from tests.runner.ledgers import cell_folder, write_arrow

    one, other = make("one"), make("other")
    one.write_attempt(finished(1))
    newer = one.read().replace_schema_metadata({VERSION_KEY: str(SCHEMA_VERSION + 1)})
    write_arrow(cell_folder(other, "f" * 16) / "attempt-1.arrow", newer)
    with pytest.raises(RequestError, match=rf"{other.shown} was written by schema"):
        open_results([one.uri, other.uri]).rows(RESULT_COLUMNS)


def test_copies_of_a_ledger_change_no_board(make: Make, tmp_path: Path) -> None:
    one = make("one")
    for seed, method in itertools.product(range(3), ("orca", "nft")):
        one.write_attempt(replace(finished(seed, seed + len(method), seed=seed, method=method)))
    shutil.copytree(one.uri, tmp_path / "two")
    (alone,) = build(one.rows(RESULT_COLUMNS))
    (both,) = build(open_results([one.uri, tmp_path / "two"]).rows(RESULT_COLUMNS))
    assert both == alone
