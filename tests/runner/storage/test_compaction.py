"""Compaction: the same rows before, after, in between, and whoever else writes meanwhile."""

import multiprocessing
from dataclasses import replace
from datetime import timedelta
from itertools import count

import numpy as np
import pytest
from pyarrow import parquet

from runner import compact_files
from runner.compaction import AT_LEAST, Compacted, compact
from runner.ledger import CellState, Ledger
from runner.schema import VERSION_KEY
from runner.storage import Storage
from tests.runner.attempts import called
from tests.runner.ledgers import CELL, FAILED, OK, cell_folder, raiser
from xmft.errors import RequestError
from xmft.examples import Examples
from xmft.task import CurvePoint

POINTS = [CurvePoint(epoch=e, split="val", name="nrmse", value=1 / e) for e in (1, 2)]
FIELD = np.ones((1, 1, 4), np.float32)
PICTURES = Examples(inputs=FIELD, targets=FIELD, predictions=FIELD)


def filled(ledger, cells=3, *, later=0):
    """Write a failed and an ok attempt at each cell, with curves and examples."""
    for number in range(cells):
        cell = called(f"{number:016x}")
        times = (OK.finished_at + timedelta(minutes=later + minute) for minute in count())
        ledger.write_attempt(replace(FAILED, cell=cell, finished_at=next(times)))
        ledger.write_curves(cell.id, POINTS)
        ledger.write_examples(cell.id, PICTURES)
        nan = replace(OK.metrics[0], value=float("nan"), selection="reference")
        metrics = (*OK.metrics, nan)
        ledger.write_attempt(replace(OK, cell=cell, metrics=metrics, finished_at=next(times)))


def same(one, other):
    """Whether two tables hold the same, NaN included."""
    return repr(one.to_pylist()) == repr(other.to_pylist()) and one.schema.equals(other.schema)


def test_everything_is_as_before(either):
    filled(either)
    rows, states = either.read(), either.states()
    assert rows.num_rows == 3 * (1 + 3)
    assert compact(either) == Compacted(attempts=6, files=1)
    for ledger in (either, Ledger(either.uri)):
        assert same(ledger.read(), rows)
        assert ledger.states() == states
        assert same(ledger.read(cell_id=f"{1:016x}"), rows.slice(4, 4))
        assert ledger.find(f"{1:016x}"[:15] + "1") == f"{1:016x}"
        assert ledger.curves(f"{2:016x}").num_rows == 2
        assert np.array_equal(ledger.examples(f"{2:016x}").inputs, FIELD)
    assert either.reader.listed() == []
    if either.is_local:
        assert list((either.local_root / "cells").iterdir()) == []
    assert compact(either) == Compacted(attempts=0, files=1)


def test_attempts_go_on_counting(either):
    filled(either, 1)
    compact(either)
    cell = called(f"{0:016x}")
    later = OK.finished_at + timedelta(hours=1)
    either.write_attempt(replace(FAILED, cell=cell, finished_at=later, failure="infra"))
    either.write_curves(cell.id, POINTS[:1])
    for _ in range(2):
        assert either.curves(cell.id).num_rows == 1
        assert either.states() == {cell.id: CellState(status="ok", attempts=3, failure="infra")}
        assert either.read()["attempt"].to_pylist() == [1, 2, 2, 2, 3]
        compact(either)


def test_an_attempt_of_a_taken_name_is_another_attempt(ledger):
    """As a version writes it that knows of no compact files."""
    filled(ledger, 1)
    cell = called(f"{0:016x}")
    compact(ledger)
    other = Ledger(ledger.local_root.parent / "other")
    other.prepare()
    late = replace(FAILED, cell=cell, failure="data", finished_at=OK.finished_at.replace(year=2030))
    other.write_attempt(late)
    content = (cell_folder(other, cell.id) / "attempt-1.arrow").read_bytes()
    ledger.storage.write(f"cells/{cell.id}/attempt-1.arrow", content)
    for _ in range(2):
        assert Ledger(ledger.uri).states()[cell.id].attempts == 3
        assert ledger.read()["failure"].to_pylist().count("data") == 1
        compact(ledger)


class Killed(BaseException):
    """Ends a compaction where no handler of errors looks."""


def test_killed_anywhere_it_loses_and_doubles_nothing(either, monkeypatch):
    filled(either, 2)
    compact(either)
    filled(either, 3, later=10)
    rows, states = either.read(), either.states()
    originals = {name: getattr(Storage, name) for name in ("write", "delete", "move")}
    for allowed in count():
        left = iter(range(allowed))

        def changing(original, left=left):
            def change(self, *args, **kwargs):
                if next(left, None) is None:
                    raise Killed
                return original(self, *args, **kwargs)

            return change

        with monkeypatch.context() as patch:
            for name, original in originals.items():
                patch.setattr(Storage, name, changing(original))
            try:
                compact(either)
            except Killed:
                over = False
            else:
                over = True
        fresh = Ledger(either.uri)
        assert same(fresh.read(), rows)
        assert fresh.states() == states
        assert fresh.curves(f"{2:016x}").num_rows == 2
        assert fresh.examples(f"{1:016x}") is not None
        if over:
            break
    assert allowed > 4
    assert either.reader.listed() == []


def write(uri, start, number):
    ledger = Ledger(uri)
    for place in range(number):
        ledger.write_attempt(replace(FAILED, cell=called(f"{start + place:016x}")))


def gather(uri, times):
    for _ in range(times):
        compact(Ledger(uri))


def test_many_write_and_compact_at_once(ledger):
    start = multiprocessing.get_context("spawn").Process
    processes = [start(target=write, args=(ledger.uri, n * 1000, 60)) for n in range(2)]
    processes += [start(target=gather, args=(ledger.uri, 25)) for _ in range(2)]
    for process in processes:
        process.start()
    seen = [0]
    while any(process.is_alive() for process in processes):
        rows = ledger.read()
        seen.append(rows.num_rows)
        assert len(set(rows["cell_id"].to_pylist())) == rows.num_rows
        assert len(Ledger(ledger.uri).states()) >= seen[-1]
    assert seen == sorted(seen)
    assert [process.exitcode for process in processes] == [0] * 4
    assert ledger.read().num_rows == 120
    compact(ledger)
    assert ledger.read()["attempt"].to_pylist() == [1] * 120


def test_few_files_however_often(ledger):
    for number in range(20):
        ledger.write_attempt(replace(FAILED, cell=called(f"{number:016x}")))
        assert compact(ledger).files <= 4
    assert ledger.read().num_rows == 20


def test_small_ledgers_stay_as_they_are(ledger):
    filled(ledger, 2)
    assert compact(ledger, at_least=AT_LEAST) == Compacted(attempts=0, files=0)
    assert len(ledger.reader.listed()) == 4


def test_what_does_not_come_back_as_it_was_replaces_nothing(ledger, monkeypatch):
    filled(ledger, 2)
    rows = ledger.read()
    monkeypatch.setattr(
        compact_files,
        "read",
        lambda *_: rows.slice(1).append_column("file", rows["cell_id"].slice(1)),
    )
    with pytest.raises(RequestError, match=r"cannot be compacted.*other rows"):
        compact(ledger)
    monkeypatch.undo()
    assert same(ledger.read(), rows)
    assert compact_files.listed(ledger.reader) == []
    monkeypatch.setattr("os.fsync", raiser(OSError(28, "No space left on device")))
    with pytest.raises(RequestError, match="No space left on device"):
        compact(ledger)
    monkeypatch.undo()
    assert same(Ledger(ledger.uri).read(), rows)


def test_a_compact_file_that_cannot_be_used_is_an_error(ledger):
    filled(ledger, 1)
    compact(ledger)
    (path,) = ledger.local_root.glob("compact-*.parquet")
    content = path.read_bytes()
    for broken in (b"", content[:-20], b"garbage"):
        path.write_bytes(broken)
        with pytest.raises(RequestError, match=rf"{path.name} .* cannot be read"):
            Ledger(ledger.uri).read()
    path.write_bytes(content)
    table = parquet.read_table(path)
    newer = table.replace_schema_metadata({**table.schema.metadata, VERSION_KEY: b"99"})
    parquet.write_table(newer, path)
    for ask in (Ledger.read, Ledger.states):
        with pytest.raises(RequestError, match="written by schema 99"):
            ask(Ledger(ledger.uri))


def test_a_file_that_cannot_be_read_stays(ledger):
    filled(ledger, 1)
    folder = cell_folder(ledger, f"{0:016x}")
    (folder / "attempt-3.arrow").write_bytes(b"garbage")
    assert compact(ledger).attempts == 2
    assert [path.name for path in folder.iterdir()] == ["attempt-3.arrow"]
    assert ledger.write_attempt(replace(OK, cell=called(f"{0:016x}"))) == 4
    assert CELL not in ledger.states()
