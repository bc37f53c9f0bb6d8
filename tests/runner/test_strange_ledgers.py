"""A ledger of a stranger's runs no code and leads nowhere else."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from runner.ledger import Ledger
from runner.sessions import CellSession
from runner.storage import Storage, path_of
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import xmft
from tests.runner.ledgers import write_arrow
from xmft.errors import RequestError

LEADING_AWAY = [
    "..",
    "../x",
    "a/../../x",
    "/etc/x",
    "a/./b",
    "a\0b",
    "a//b",
    "NUL",
    "com1.txt",
    "x" * 300,
]


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("name", LEADING_AWAY)
def test_names_are_refused_where_they_become_paths(name: str) -> None:
    if "\0" in name:  # which becomes something harmless, as colons do
        assert path_of(name) == name.replace("\0", "_")
    else:
        with pytest.raises(RequestError, match="cannot be a file's or folder's name"):
            path_of(name)
    assert path_of("pdebench/burgers:Nu0.001") == "pdebench/burgers_Nu0.001"


@pytest.mark.parametrize("path", ["../x", "cells/../../x", "/x", "cells\\..\\..\\x", "a\0b"])
def test_a_storage_stays_in_its_folder(path: str, tmp_path: Path) -> None:
    storage = Storage(tmp_path / "results")
    for use in (
        lambda: storage.write(path, b"x"),
        lambda: storage.read(path),
        lambda: storage.names(path),
        lambda: storage.delete_folder(path),
    ):
        with pytest.raises(RequestError, match="leads out of there"):
            use()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cell", ["../../x", "..", "/etc/passwd", "a\\b"])
def test_show_looks_for_cells_alone(cell: str, ledger: Ledger) -> None:
    ledger.write_attempt(attempt_of(cell_of(), score_of(0.5)))
    result = xmft("show", cell, "--results", ledger.uri)
    assert result.exit_code == 2
    assert "begins with" in result.stderr


def test_extension_types_in_a_file_are_not_unpickled(ledger: Ledger, tmp_path: Path) -> None:
    ledger.write_attempt(attempt_of(cell_of(), score_of(0.5)))
    (path,) = Path(ledger.uri).glob("cells/*/attempt-1.arrow")
    with pa.ipc.open_file(path.read_bytes()) as file:
        table = file.read_all()
    place = table.column_names.index("host")
    for kind in (b"arrow.py_extension_type", b"arrow.opaque"):
        trap = pickle.dumps(Trap(tmp_path / "ran"))
        facts = {b"ARROW:extension:name": kind, b"ARROW:extension:metadata": trap}
        strange = table.set_column(place, table.field(place).with_metadata(facts), table["host"])
        write_arrow(path, strange)
        Ledger(ledger.uri).read()
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_is_not_unpickled(ledger: Ledger, tmp_path: Path) -> None:
    cell = cell_of()
    payload = io.BytesIO()
    torch.save({"version": 2, "state": Trap(tmp_path / "ran")}, payload)
    for content in (payload.getvalue(), pickle.dumps(Trap(tmp_path / "ran"))):
        ledger.save_checkpoint(cell.id, content)
        session = CellSession(cell, ledger.uri, torch.device("cpu"), None, None)
        assert session.restore() is None  # set aside
    assert not (tmp_path / "ran").exists()
