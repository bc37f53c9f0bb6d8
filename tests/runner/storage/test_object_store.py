"""The ledger on a server that speaks S3."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runner.again import again, is_passing
from runner.compaction import compact
from runner.ledger import CellState, Ledger, LedgerError
from runner.loggers.tensorboard import EventLog
from runner.schema import SCHEMA
from tests.runner.attempts import called, cell_of
from tests.runner.ledgers import CELL, FAILED, OK
from tests.runner.object_store import KEY, SECRET
from xmft.errors import RequestError
from xmft.session import Progress
from xmft.task import CurvePoint


def test_round_trip(remote, ledger):
    for place in (remote, ledger):
        place.write_attempt(FAILED)
        place.write_attempt(replace(OK, finished_at=OK.finished_at + timedelta(seconds=1)))
        place.write_curves(CELL, [CurvePoint(epoch=1, split="val", name="nrmse", value=0.5)])
        place.save_checkpoint(CELL, b"state")
    assert remote.read().equals(ledger.read())
    assert remote.states() == ledger.states()
    assert remote.curves(CELL).equals(ledger.curves(CELL))
    assert remote.load_checkpoint(CELL) == b"state"
    remote.drop_checkpoint(CELL)
    remote.drop_checkpoint(CELL)
    assert remote.load_checkpoint(CELL) is None
    assert remote.find(CELL[:4]) == CELL
    assert remote.read(cell_id="other").num_rows == 0


def test_concurrent_writers_lose_no_attempt(remote):
    def write(number):
        later = timedelta(seconds=number)
        attempt = replace(FAILED, error=str(number), finished_at=OK.finished_at + later)
        Ledger(remote.uri).write_attempt(attempt)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(write, range(12)))
    table = remote.read()
    assert table["attempt"].to_pylist() == list(range(1, 13))
    assert table["error"].to_pylist() == [str(number) for number in range(12)]
    assert remote.states()[CELL].attempts == 12


def test_attempts_of_the_earlier_layout_come_first(remote, ledger):
    ledger.write_attempt(FAILED)
    content = (ledger.local_root / "cells" / CELL / "attempt-1.arrow").read_bytes()
    remote.storage.write(f"cells/{CELL}/attempt-1.arrow", content)
    curves = [CurvePoint(epoch=1, split="val", name="nrmse", value=0.5)]
    ledger.write_curves(CELL, curves)
    content = (ledger.local_root / "cells" / CELL / "curves.arrow").read_bytes()
    remote.storage.write(f"cells/{CELL}/curves.arrow", content)
    remote.write_attempt(OK)
    for _ in range(2):
        assert remote.read()["attempt"].to_pylist() == [1, 2, 2]
        assert remote.read()["status"].to_pylist() == ["failed", "ok", "ok"]
        assert remote.curves(CELL).num_rows == 1
        compact(remote)


def test_requests_per_cell_are_few(remote, store):
    remote.write_attempt(OK)
    assert store.methods() == {"PUT": 1}
    remote.write_curves(CELL, [])
    assert store.methods() == {"PUT": 1}
    remote.save_checkpoint(CELL, b"state")
    assert store.methods() == {"PUT": 1}
    for number in range(30):
        remote.write_attempt(replace(OK, cell=called(f"{number:016x}")))
    store.requests.clear()
    fresh = Ledger(remote.uri)
    fresh.states()
    # A listing, one of the compact files, and two for each new attempt.
    assert store.methods() == {"GET": 2 + 31, "HEAD": 31}
    fresh.states()
    assert store.methods() == {"GET": 2}
    compact(remote)
    store.requests.clear()
    for ask in (Ledger.states, Ledger.read, lambda one: one.find(CELL)):
        ask(Ledger(remote.uri))
        assert store.methods() == {"GET": 3, "HEAD": 1}


def test_lost_requests_are_made_again(remote, store, monkeypatch):
    monkeypatch.setattr("runner.again._FIRST_PAUSE_S", 0.01)
    store.refusals = 2
    remote.write_attempt(OK)
    store.refusals = 2
    assert remote.states() == {CELL: CellState(status="ok", attempts=1, failure=None)}
    assert store.refusals == 0


def test_what_is_refused_for_good_is_not_asked_again(monkeypatch):
    asked = []

    def refuse():
        asked.append(1)
        raise OSError("When reading: AWS Error ACCESS_DENIED during PutObject operation")

    with pytest.raises(OSError, match="ACCESS_DENIED"):
        again(refuse)
    assert len(asked) == 1
    assert is_passing(OSError("AWS Error SLOW_DOWN during PutObject operation (HTTP status 503)"))
    assert is_passing(OSError("AWS Error NETWORK_CONNECTION during GetObject operation"))
    assert not is_passing(FileNotFoundError("gone"))
    assert not is_passing(PermissionError("no"))
    assert not is_passing(OSError(28, "No space left on device"))


def test_nothing_leaks(store, caplog, monkeypatch):
    monkeypatch.setattr("runner.ledger.PAUSES_S", (0.0,))
    uri = store.uri()
    ledger = Ledger(uri)
    ledger.prepare()
    ledger.write_attempt(OK)
    ledger.storage.write(f"cells/{CELL}/attempt-7.arrow", b"garbage")
    told = [ledger.shown, ledger.storage.shown_of("figures")]
    with caplog.at_level(logging.WARNING):
        ledger.read()
    missing = Ledger(uri.replace("@bucket-", "@no-bucket-"))
    for wrong in (
        lambda: ledger.find("x"),
        missing.prepare,
        lambda: missing.write_attempt(OK),
    ):
        with pytest.raises((RequestError, LedgerError)) as caught:
            wrong()
        told += [str(caught.value), str(caught.value.__cause__)]
    assert "attempt-7.arrow" in caplog.text
    texts = [*told, caplog.text, *(str(row) for row in ledger.read().to_pylist())]
    for secret in (KEY, SECRET, SECRET.replace("/", "%2F").replace("+", "%2B")):
        assert not [text for text in texts if secret in text]
    assert "bucket" in ledger.shown
    assert ledger.read().schema.equals(SCHEMA, check_metadata=True)


def losses(stage, step, value):
    return Progress(stage=stage, step=step, steps=27, losses={"loss": value}, account="fit")


def test_tensorboard_follows_checkpoints_in_one_file(remote, store, tmp_path):
    """Killed after its third epoch, two after its checkpoint; the last one ends the stage."""
    cell = cell_of()
    first, second = EventLog(remote, cell), EventLog(remote, cell)
    store.requests.clear()
    first.write(losses("fitting", 1, 0.7))
    first.flush()
    for step in (9, 18):
        first.write(losses("fitting", step, 0.6))
    assert store.methods() == {"GET": 1, "PUT": 1}
    for step in (9, 18, 27):
        second.write(losses("fitting", step, 0.5))
    folder = f"tensorboard/{cell.task}/{cell.method}/{cell.seed}/{cell.id}"
    (name,) = remote.storage.files(folder)
    (tmp_path / name).write_bytes(remote.storage.read(f"{folder}/{name}"))
    run = EventAccumulator(str(tmp_path / name))
    run.Reload()
    shown = [(event.step, round(event.value, 3)) for event in run.Scalars("fitting/loss")]
    assert shown == [(1, 0.7), (9, 0.5), (18, 0.5), (27, 0.5)]


def test_tensorboard_is_done_without_where_the_store_refuses(remote, store, caplog, monkeypatch):
    monkeypatch.setattr("runner.again._FIRST_PAUSE_S", 0.001)
    log = EventLog(remote, cell_of())
    log.write(losses("fitting", 1, 0.7))
    store.refusals = 10**6
    log.flush()
    log.write(losses("fitting", 9, 0.7))
    log.flush()
    (said,) = [r.getMessage() for r in caplog.records if r.name == "runner.loggers.tensorboard"]
    assert "cannot be written" in said and SECRET not in said
    store.refusals = 0
