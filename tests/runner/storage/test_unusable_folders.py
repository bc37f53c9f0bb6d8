"""Folders that are full, read-only or gone, and files that hold something else."""

import errno
import os
import shutil
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from runner.failures import classify, describe
from runner.ledger import Ledger, LedgerError
from runner.schema import CURVE_SCHEMA, VERSION_KEY
from runner.storage import Storage
from tests.runner.ledgers import CELL, OK, cell_folder, raiser, write_arrow
from xmft.errors import RequestError
from xmft.task import CurvePoint

POINTS = [CurvePoint(epoch=1, split="val", name="nrmse", value=0.5)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr("runner.ledger.PAUSES_S", (0.01, 0.01))


def test_a_folder_that_was_deleted_is_not_made_again(ledger):
    shutil.rmtree(ledger.local_root)
    writes = (
        lambda: ledger.write_attempt(OK),
        lambda: ledger.write_curves(CELL, POINTS),
        lambda: ledger.save_checkpoint(CELL, b"state"),
    )
    for write in writes:
        with pytest.raises(LedgerError, match=r"results \(the folder does not exist\)\. Make"):
            write()
    assert not ledger.local_root.exists()
    ledger.prepare()
    assert ledger.write_attempt(OK) == 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
def test_what_cannot_be_written_is_no_fault_of_the_cell(ledger, monkeypatch, number):
    monkeypatch.setattr("os.fsync", raiser(OSError(number, os.strerror(number))))
    with pytest.raises(LedgerError, match=os.strerror(number)) as caught:
        ledger.write_attempt(OK)
    assert classify(caught.value) == "infra"
    assert describe(caught.value).endswith("run the same command again.")
    monkeypatch.undo()
    assert [path for path in ledger.local_root.rglob("*") if path.is_file()] == []


def test_a_folder_that_comes_back_is_waited_for(ledger, monkeypatch):
    monkeypatch.setattr("runner.ledger.PAUSES_S", (0.2, 0.5, 1.0))
    away = ledger.local_root.with_name("away")
    ledger.local_root.rename(away)
    timer = threading.Timer(0.3, away.rename, [ledger.local_root])
    timer.start()
    assert ledger.write_attempt(OK) == 1
    timer.join()
    assert ledger.states()[CELL].status == "ok"


def test_without_hard_links_a_number_is_still_given_once(ledger, monkeypatch):
    monkeypatch.setattr("os.link", raiser(PermissionError("no links here")))
    replace, late = Path.replace, []

    def slow(self, target):
        if not late:  # another writer comes while this one has no more than the name
            late.append(0)
            late[0] = Ledger(ledger.uri).write_attempt(OK)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", slow)
    assert ledger.write_attempt(OK) == 1
    assert late == [2]
    assert ledger.read()["attempt"].to_pylist() == [1, 1, 2, 2]


def test_curves_that_cannot_be_read_are_skipped_and_newer_ones_refused(ledger, caplog):
    ledger.write_curves(CELL, POINTS)
    path = cell_folder(ledger) / "curves.arrow"
    wrong = pa.table({"x": [1]}).replace_schema_metadata({VERSION_KEY: b"1"})
    for content in (b"", b"garbage", wrong, pa.table({"x": [1]})):
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            write_arrow(path, content)
        assert ledger.curves(CELL).equals(CURVE_SCHEMA.empty_table())
    assert caplog.text.count("curves.arrow") == 1
    newer = CURVE_SCHEMA.empty_table().replace_schema_metadata({VERSION_KEY: b"99"})
    write_arrow(path, newer)
    with pytest.raises(RequestError, match=r"written by schema 99.*upgrade xmft.*curves\.arrow"):
        ledger.curves(CELL)


def test_files_that_vanish_while_they_are_listed_are_not_there(ledger, monkeypatch):
    ledger.write_attempt(OK)
    walk = os.walk

    def vanishing(top, **options):
        for folder, folders, names in walk(top, **options):
            if folders:
                shutil.rmtree(cell_folder(ledger))
            yield folder, folders, names

    monkeypatch.setattr(os, "walk", vanishing)
    assert Ledger(ledger.uri).states() == {}
    assert Storage(ledger.local_root / "nowhere").files("cells") == []
