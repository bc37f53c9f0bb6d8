import json
import pickle
import textwrap
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

import runner.ledger
from runner.ledger import CellState, Ledger
from runner.schema import SCHEMA, SCHEMA_VERSION, VERSION_KEY
from runner.storage import Storage
from tests.runner.attempts import called, cell_of
from tests.runner.ledgers import CELL, FAILED, NRMSE, OK, cell_folder
from xmft.errors import RequestError
from xmft.task import CurvePoint

COLUMNS = (
    "cell_id, attempt, task, suite, task_version, method, method_version, backbone, seed, "
    "protocol, data_origin, status, failure, error, split, selection, metric, metric_version, "
    "direction, value, epoch, params, trainable_params, align_s, fit_s, eval_s, wall_s, "
    "peak_memory_bytes, worker_count, device, precision, git_revision, git_dirty, versions, host, "
    "started_at, finished_at, gpu_name, gpu_driver, device_count, gpu_s, "
    "cpu_s, peak_memory_sum_bytes, energy_j, energy_source, threads, sharding, flops, "
    "align_flops, fit_flops, eval_flops, invocation, config_json"
)


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


def test_find(ledger):
    for cell_id in ("abc0", "abc1", "abd0", "abd"):
        ledger.write_attempt(replace(OK, cell=called(cell_id)))
    assert ledger.find("abc1") == "abc1"
    assert ledger.find("abd") == "abd"
    assert ledger.find("abd0") == "abd0"
    with pytest.raises(RequestError, match=r"2 cells of .*: abc0, abc1"):
        ledger.find("abc")
    with pytest.raises(RequestError, match="Did you mean 'abd0'"):
        ledger.find("abx0")
    for number in range(20):
        ledger.write_attempt(replace(OK, cell=called(f"f{number:03d}")))
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
    assert len(lines) == 5
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


def test_what_follows_from_the_cell_is_not_told_again(ledger):
    cell = cell_of("s/a:x1", "nft", 3, recipe={"precision": "bfloat16"}, protocol="released")
    ledger.write_attempt(replace(OK, cell=cell))
    row, _ = ledger.read().to_pylist()
    assert (row["cell_id"], row["config_json"]) == (cell.id, cell.config_json)
    assert (row["task"], row["suite"], row["method"], row["seed"]) == ("s/a:x1", "s", "nft", 3)
    assert (row["precision"], row["protocol"], row["backbone"]) == (
        "bfloat16",
        "released",
        "minilm",
    )
    assert row["task_version"] == row["method_version"] == 1


def test_rows_as_a_data_frame(ledger):
    ledger.write_attempt(OK)
    frame = ledger.to_pandas()
    assert list(frame.columns) == SCHEMA.names
    assert frame["value"].tolist() == [0.25, 0.5]
