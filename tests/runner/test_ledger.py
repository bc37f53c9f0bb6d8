import json
import logging
import pickle
import textwrap
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest

import runner.ledger
from runner.ledger import CellState, Ledger
from runner.schema import (
    CURVE_SCHEMA,
    SCHEMA,
    SCHEMA_VERSION,
    VERSION_KEY,
    Attempt,
    CurvePoint,
    MetricValue,
)
from runner.storage import Storage
from xmft.errors import RequestError
from xmft.examples import Examples

COLUMNS = (
    "cell_id, attempt, task, suite, task_version, method, method_version, backbone, seed, "
    "protocol, data_origin, status, failure, error, split, selection, metric, metric_version, "
    "direction, value, epoch, params, trainable_params, align_s, fit_s, eval_s, wall_s, "
    "peak_memory_bytes, worker_count, device, precision, git_revision, git_dirty, versions, host, "
    "started_at, finished_at, config_json"
)
CELL = "0123456789abcdef"
NRMSE = MetricValue(
    split="test",
    selection="best_val",
    metric="nrmse",
    metric_version=1,
    direction="min",
    value=0.25,
    epoch=7,
)
OK = Attempt(
    cell_id=CELL,
    task="pdebench/advection",
    suite="pdebench",
    task_version=1,
    method="orca",
    method_version=1,
    backbone="minilm",
    seed=0,
    protocol="clean",
    data_origin="generated",
    status="ok",
    params=10,
    trainable_params=9,
    align_s=1.0,
    fit_s=2.0,
    eval_s=0.5,
    wall_s=4.0,
    peak_memory_bytes=1 << 33,
    worker_count=1,
    device="cpu",
    precision="float32",
    git_revision="abc",
    git_dirty=False,
    versions={"torch": "2.13.0", "python": "3.11"},
    host="laptop",
    started_at=datetime(2025, 1, 1, tzinfo=UTC),
    finished_at=datetime(2025, 1, 1, 0, 0, 4, tzinfo=UTC),
    config_json="{}",
    metrics=(NRMSE, replace(NRMSE, selection="last", value=0.5, epoch=9)),
)
FAILED = replace(OK, status="failed", failure="oom", error="CUDA out of memory", metrics=())


@pytest.fixture
def ledger(tmp_path):
    ledger = Ledger(tmp_path / "results")
    ledger.prepare()
    return ledger


def cell_folder(ledger, cell_id=CELL):
    return ledger.local_root / "cells" / cell_id


def write_arrow(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


def test_columns_are_those_of_the_design_and_described():
    assert ", ".join(SCHEMA.names) == COLUMNS
    assert all(SCHEMA.field(name).metadata[b"description"] for name in SCHEMA.names)
    assert SCHEMA.metadata == {VERSION_KEY: str(SCHEMA_VERSION).encode()}


def test_nothing_is_created_before_prepare(tmp_path):
    ledger = Ledger(tmp_path / "results")
    assert ledger.read().num_rows == 0
    assert ledger.states() == {}
    assert list(tmp_path.iterdir()) == []
    ledger.prepare()
    assert [path.name for path in (tmp_path / "results").rglob("*")] == ["cells"]


def test_relative_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ledger = Ledger("results/")
    assert ledger.is_local
    assert ledger.local_root == tmp_path / "results"
    assert ledger.uri == str(tmp_path / "results")
    assert Ledger(ledger.uri).uri == ledger.uri


def test_file_uri_is_the_same_folder(ledger):
    ledger.write_attempt(OK)
    other = Ledger(ledger.local_root.as_uri())
    assert other.uri == ledger.uri
    assert other.local_root == ledger.local_root
    assert other.read().equals(ledger.read())


@pytest.mark.parametrize("uri", ["ftp://host/folder", "file://relative/folder"])
def test_unusable_uri_is_a_wrong_request(uri):
    with pytest.raises(RequestError, match="Cannot open"):
        Ledger(uri)


def test_rows_round_trip(ledger):
    zone = timezone(timedelta(hours=2))
    assert ledger.write_attempt(replace(OK, started_at=OK.started_at.astimezone(zone))) == 1
    table = ledger.read()
    assert table.schema.equals(SCHEMA, check_metadata=True)
    first, second = table.to_pylist()
    assert (first["selection"], first["value"], first["epoch"]) == ("best_val", 0.25, 7)
    assert (second["selection"], second["value"], second["epoch"]) == ("last", 0.5, 9)
    assert first["started_at"] == OK.started_at
    assert first["failure"] is None
    assert first["peak_memory_bytes"] == 1 << 33
    assert json.loads(first["versions"]) == OK.versions
    assert first["git_dirty"] is False


def test_failed_attempt_is_one_row_without_a_score(ledger):
    ledger.write_attempt(FAILED)
    (row,) = ledger.read().to_pylist()
    assert (row["status"], row["failure"], row["error"]) == ("failed", "oom", "CUDA out of memory")
    scored = ("split", "selection", "metric", "metric_version", "direction", "value", "epoch")
    assert all(row[name] is None for name in scored)


def test_attempts_count_up_and_one_ok_is_enough(ledger):
    assert ledger.write_attempt(FAILED) == 1
    assert ledger.states() == {CELL: CellState(status="failed", attempts=1, failure="oom")}
    assert ledger.write_attempt(OK) == 2
    assert ledger.states() == {CELL: CellState(status="ok", attempts=2, failure=None)}
    assert ledger.write_attempt(replace(FAILED, failure="infra")) == 3
    assert ledger.states() == {CELL: CellState(status="ok", attempts=3, failure="infra")}
    assert ledger.read()["attempt"].to_pylist() == [1, 2, 2, 3]


def test_polling_reads_only_new_attempts(ledger, monkeypatch):
    ledger.write_attempt(FAILED)
    ledger.states()
    ledger.write_attempt(OK)
    read, paths = Storage.read, []
    monkeypatch.setattr(Storage, "read", lambda self, path: paths.append(path) or read(self, path))
    assert ledger.states() == {CELL: CellState(status="ok", attempts=2, failure=None)}
    assert paths == [f"cells/{CELL}/attempt-2.arrow"]
    (cell_folder(ledger) / "attempt-2.arrow").unlink()
    assert ledger.states() == {CELL: CellState(status="failed", attempts=1, failure="oom")}


def test_attempt_ten_comes_after_attempt_nine(ledger):
    for _ in range(9):
        ledger.write_attempt(FAILED)
    assert ledger.write_attempt(replace(FAILED, failure="data")) == 10
    assert ledger.states()[CELL] == CellState(status="failed", attempts=10, failure="data")


@pytest.mark.parametrize("links", [True, False])
def test_a_number_taken_meanwhile_is_not_overwritten(ledger, monkeypatch, links):
    ledger.write_attempt(OK)
    before = (cell_folder(ledger) / "attempt-1.arrow").read_bytes()
    monkeypatch.setattr(Storage, "names", lambda *_: [])
    if not links:
        monkeypatch.setattr("os.link", raiser(PermissionError("no links here")))
    assert ledger.write_attempt(FAILED) == 2
    assert (cell_folder(ledger) / "attempt-1.arrow").read_bytes() == before
    assert ledger.read()["attempt"].to_pylist() == [1, 1, 2]


def test_write_that_dies_leaves_nothing_that_counts(ledger, monkeypatch):
    monkeypatch.setattr("os.fsync", raiser(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        ledger.write_attempt(OK)
    assert list(cell_folder(ledger).iterdir()) == []
    assert ledger.states() == {}


def test_temporary_names_are_ignored(ledger, caplog):
    ledger.write_attempt(OK)
    folder = cell_folder(ledger)
    half = (folder / "attempt-1.arrow").read_bytes()[:100]
    (folder / ".attempt-2.arrow-5f.tmp").write_bytes(half)
    (folder / "attempt-2.arrow.part").write_bytes(half)
    with caplog.at_level(logging.WARNING):
        assert ledger.states()[CELL].attempts == 1
    assert caplog.text == ""
    assert ledger.write_attempt(OK) == 2


def test_unreadable_and_foreign_files_are_skipped_with_a_warning(ledger, caplog):
    ledger.write_attempt(OK)
    folder = cell_folder(ledger)
    (folder / "attempt-2.arrow").write_bytes(b"")
    (folder / "attempt-3.arrow").write_bytes((folder / "attempt-1.arrow").read_bytes()[:-50])
    write_arrow(folder / "attempt-4.arrow", pa.table({"x": [1]}))
    write_arrow(
        folder / "attempt-5.arrow",
        pa.table({"x": [1]}).replace_schema_metadata({VERSION_KEY: "1"}),
    )
    write_arrow(folder / "attempt-6.arrow", SCHEMA.empty_table())
    with caplog.at_level(logging.WARNING):
        table = ledger.read()
    assert table["attempt"].to_pylist() == [1, 1]
    for number in range(2, 7):
        assert f"attempt-{number}.arrow" in caplog.text
    caplog.clear()
    ledger.read()
    assert caplog.text == ""  # warned once
    assert ledger.write_attempt(OK) == 7  # a name that is taken is not reused


def test_newer_schema_is_refused(ledger):
    ledger.write_attempt(OK)
    newer = ledger.read().replace_schema_metadata({VERSION_KEY: "2"})
    write_arrow(cell_folder(ledger, "f" * 16) / "attempt-1.arrow", newer)
    for read in (ledger.read, ledger.states, ledger.prepare):
        with pytest.raises(RequestError, match="written by schema 2, this version reads up to 1"):
            read()


def test_unwritable_folder_is_a_wrong_request(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"file/results.*--results"):
        Ledger(tmp_path / "file" / "results").prepare()
    monkeypatch.setattr(Storage, "probe", raiser(PermissionError("Permission denied")))
    with pytest.raises(RequestError, match=r"Permission denied.*--results"):
        Ledger(tmp_path / "results").prepare()


def test_curves(ledger):
    assert ledger.curves(CELL).equals(CURVE_SCHEMA.empty_table())
    points = [CurvePoint(epoch=e, split="val", name="nrmse", value=1 / e) for e in (1, 2)]
    ledger.write_curves(CELL, points[:1])
    ledger.write_curves(CELL, points)
    assert ledger.curves(CELL).schema.equals(CURVE_SCHEMA, check_metadata=True)
    assert ledger.curves(CELL)["value"].to_pylist() == [1.0, 0.5]
    assert ledger.states() == {}


@pytest.mark.parametrize("grid", [(7,), (4, 6)])
def test_examples(ledger, grid):
    assert ledger.examples(CELL) is None
    rng = np.random.default_rng(0)
    inputs, targets, predictions = (
        rng.standard_normal((3, channels, *grid)).astype(np.float32) for channels in (1, 2, 2)
    )
    examples = Examples(inputs=inputs, targets=targets, predictions=predictions, stride=2)
    ledger.write_examples(CELL, replace(examples, predictions=targets))
    ledger.write_examples(CELL, examples)
    found = ledger.examples(CELL)
    assert (len(found), found.stride) == (3, 2)
    for name in ("inputs", "targets", "predictions"):
        assert getattr(found, name).dtype == np.float32
        assert np.array_equal(getattr(found, name), getattr(examples, name))
    assert ledger.states() == {}
    with pa.ipc.open_file(cell_folder(ledger) / "examples.arrow") as file:
        table = file.read_all()
    assert table.schema.metadata[VERSION_KEY] == str(SCHEMA_VERSION).encode()
    assert table.schema.field("input").type.shape == [1, *grid]
    assert table["sample"].to_pylist() == [0, 1, 2]


def test_examples_that_cannot_be_read_are_skipped_and_newer_ones_refused(ledger, caplog):
    field = np.zeros((1, 1, 4), np.float32)
    ledger.write_examples(CELL, Examples(inputs=field, targets=field, predictions=field))
    path = cell_folder(ledger) / "examples.arrow"
    with pa.ipc.open_file(path) as file:
        table = file.read_all()
    write_arrow(path, table.replace_schema_metadata(table.schema.metadata | {VERSION_KEY: b"2"}))
    with pytest.raises(RequestError, match="written by schema 2"):
        ledger.examples(CELL)
    for content in (b"", b"half"):
        path.write_bytes(content)
        assert ledger.examples(CELL) is None
    write_arrow(path, pa.table({"x": [1]}).replace_schema_metadata({VERSION_KEY: "1"}))
    assert ledger.examples(CELL) is None
    assert "examples.arrow" in caplog.text


def test_checkpoints(ledger):
    assert ledger.load_checkpoint(CELL) is None
    ledger.drop_checkpoint(CELL)
    ledger.save_checkpoint(CELL, b"one")
    ledger.save_checkpoint(CELL, b"two")
    assert ledger.load_checkpoint(CELL) == b"two"
    folder = ledger.local_root / "checkpoints" / CELL
    assert [path.name for path in folder.iterdir()] == ["state.pt"]
    ledger.drop_checkpoint(CELL)
    assert not folder.exists()


def test_find(ledger):
    for cell_id in ("abc0", "abc1", "abd0", "abd"):
        ledger.write_attempt(replace(OK, cell_id=cell_id))
    assert ledger.find("abc1") == "abc1"
    assert ledger.find("abd") == "abd"
    assert ledger.find("abd0") == "abd0"
    with pytest.raises(RequestError, match=r"2 cells of .*: abc0, abc1"):
        ledger.find("abc")
    with pytest.raises(RequestError, match="Did you mean 'abd0'"):
        ledger.find("abx0")
    for number in range(20):
        ledger.write_attempt(replace(OK, cell_id=f"f{number:03d}"))
    with pytest.raises(RequestError, match=r"Did you mean 'f0..'\? .* lists all 24"):
        ledger.find("f0x1")


def test_travels_to_workers(ledger):
    ledger.write_attempt(OK)
    assert pickle.loads(pickle.dumps(ledger)).states() == ledger.states()


def test_the_documented_lines_read_the_ledger(ledger, monkeypatch):
    ledger.write_attempt(FAILED)
    ledger.write_attempt(OK)
    ledger.write_curves(CELL, [CurvePoint(epoch=1, split="train", name="loss", value=1.0)])
    (cell_folder(ledger) / ".attempt-3.arrow-5f.tmp").write_bytes(b"half")
    monkeypatch.chdir(ledger.local_root.parent)
    lines = [line for line in runner.ledger.__doc__.splitlines() if line.startswith("    ")]
    assert len(lines) == 3
    names = {}
    exec(textwrap.dedent("\n".join(lines)), names)
    assert names["table"].sort_by("attempt").equals(ledger.read())


@pytest.mark.parametrize(
    "wrong",
    [
        {"metrics": ()},
        {"failure": "oom"},
        {"status": "done"},
        {"status": "failed", "failure": "oom"},
        {"status": "failed", "failure": "bug", "metrics": ()},
        {"started_at": datetime(2025, 1, 1)},
    ],
)
def test_contradictory_attempts_are_refused(wrong):
    with pytest.raises(ValueError, match=CELL):
        replace(OK, **wrong)


def test_direction_is_min_or_max():
    with pytest.raises(ValueError, match="direction"):
        replace(NRMSE, direction="lower")


def raiser(error):
    def raise_it(*_args, **_kwargs):
        raise error

    return raise_it
