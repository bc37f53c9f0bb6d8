"""Where commands of tests run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.console import console
from runner.ledger import Ledger
from tests.runner.commands import (
    Attempt,
    Content,
    JobOf,
    PlanOne,
    WriteGrid,
)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give tables room, so that names are not broken, wherever the tests run."""
    monkeypatch.setattr(console, "width", 400)


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder: relative defaults such as `results` end up there."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def write_grid(tmp_path: Path, tiny_content: Content) -> WriteGrid:
    def write(**changes: Any) -> str:
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump(tiny_content(**changes)))
        return str(path)

    return write


@pytest.fixture
def two_cells(plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger) -> Ledger:
    """A ledger with a cell of nft and one of scratch, both ok."""
    for method in ("nft", "scratch"):
        assert attempt(job_of(plan_one(methods=[method]))).status == "ok"
    return ledger
