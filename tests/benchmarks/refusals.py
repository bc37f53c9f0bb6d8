"""Files that are refused, and what is said of them, whoever reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.pdebench.entry import PdeEntry
from tests.files import write_miniature
from xmft.errors import DataError
from xmft.task import Recipe

NAME = "1D_Advection_Sols_beta0.4.hdf5"
TASK = "pdebench/advection"


def write(name: str, folder: Path, **options: Any) -> tuple[Path, PdeEntry]:
    entry = catalog.get(name)
    assert isinstance(entry, PdeEntry)
    return write_miniature(entry, folder, **{"samples": 20, "points": 8, **options}), entry


def refused(name: str, data_root: Path) -> list[str]:
    """What the check of the whole file says, and what a run says that reads two frames."""
    messages = []
    with pytest.raises(DataError) as caught:
        task_data.verify(name, data_root=data_root)
    messages.append(str(caught.value))
    with pytest.raises(DataError) as caught:
        task_data.load(name, data_root=data_root, recipe=Recipe())
    return [*messages, str(caught.value)]


def said(data_root: Path, *, bad: bool = False) -> str:
    """What a plan, a cell and `verify` say, which is the same."""
    says = (task_data.locate, task_data.load, task_data.verify)
    messages = []
    for ask in says:
        with pytest.raises(DataError) as caught:
            ask(TASK, data_root=data_root)  # type: ignore[operator]
        messages.append(str(caught.value))
    assert len(set(messages)) == 1
    assert ("Move the file away" in messages[0]) == bad
    assert "truncated or damaged" not in messages[0]
    return messages[0]
