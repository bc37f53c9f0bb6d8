import logging
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from runner.ledger import Ledger, LedgerError
from runner.schema import CURVE_SCHEMA, SCHEMA, SCHEMA_VERSION, VERSION_KEY
from runner.storage import Storage
from tests.runner.ledgers import CELL, FAILED, OK, cell_folder, raiser, write_arrow
from xmft.errors import RequestError
from xmft.examples import Examples
from xmft.task import CurvePoint


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
    monkeypatch.setattr("runner.ledger.PAUSES_S", (0.0,))
    with pytest.raises(LedgerError, match=r"No space left.*Make room"):
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
    newer = ledger.read().replace_schema_metadata({VERSION_KEY: str(SCHEMA_VERSION + 1)})
    write_arrow(cell_folder(ledger, "f" * 16) / "attempt-1.arrow", newer)
    for read in (ledger.read, ledger.states, ledger.prepare):
        with pytest.raises(
            RequestError, match=rf"schema {SCHEMA_VERSION + 1}, .* up to {SCHEMA_VERSION}:"
        ):
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
    assert ledger.examples(CELL).channels == ()
    ledger.write_examples(CELL, examples, ("u", "v"))
    found = ledger.examples(CELL)
    assert found.channels == ("u", "v")
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
    newer = {**table.schema.metadata, VERSION_KEY: str(SCHEMA_VERSION + 1)}
    write_arrow(path, table.replace_schema_metadata(newer))
    with pytest.raises(RequestError, match=f"written by schema {SCHEMA_VERSION + 1}"):
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


def test_files_of_version_1_are_read_and_their_new_columns_are_null(ledger):
    ledger.write_attempt(OK)
    path = cell_folder(ledger) / "attempt-1.arrow"
    with pa.ipc.open_file(path.read_bytes()) as file:
        table = file.read_all()
    newer = ["gpu_name", "gpu_driver", "device_count", "gpu_s", "cpu_s", "peak_memory_sum_bytes"]
    newer += ["energy_j", "energy_source", "threads", "sharding", "invocation"]
    old = table.drop_columns(newer)
    write_arrow(path, old.replace_schema_metadata({VERSION_KEY: "1"}))
    found = ledger.read()
    assert found.schema.equals(SCHEMA)
    assert found.select(old.column_names).equals(old)
    assert all(found[name].null_count == len(found) for name in newer)
    for name in ("value", "config_json"):  # which every version has
        write_arrow(path, old.drop_columns(name).replace_schema_metadata({VERSION_KEY: "1"}))
        assert Ledger(ledger.uri).read().num_rows == 0


@pytest.mark.parametrize(
    "facts",
    [
        {"cell_id": ".."},
        {"cell_id": "../../x"},
        {"cell_id": "/etc/x"},
        {"task": "a/../../x"},
        {"task": "/etc/passwd"},
        {"task": "a//b"},
        {"method": "a\\b"},
        {"method": "a\0b"},
        {"method": "NUL.txt"},
        {"data_origin": "../x"},
        {"protocol": "x/y"},
    ],
)
def test_rows_whose_names_lead_elsewhere_are_left_out(ledger, caplog, facts):
    ledger.write_attempt(OK)
    path = cell_folder(ledger) / "attempt-1.arrow"
    with pa.ipc.open_file(path.read_bytes()) as file:
        table = file.read_all()
    for name, value in facts.items():
        column = pa.array([value] * len(table))
        table = table.set_column(table.column_names.index(name), SCHEMA.field(name), column)
    write_arrow(path, table)
    with caplog.at_level(logging.WARNING):
        assert Ledger(ledger.uri).read().num_rows == 0
    (name,) = facts
    assert f"the {name} '" in caplog.text
