"""A task read from several forms of its files, and miniatures of official files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

import benchmarks
from benchmarks import catalog, data
from benchmarks.entry import Entry
from benchmarks.miniature import make_miniatures
from benchmarks.origin import MARK, origin_of
from benchmarks.prepare import Block, Reading
from runner.config import load_grid
from runner.ledger import Ledger
from runner.plan import make_plan
from xmft.errors import DataError, RequestError
from xmft.task import Origin, Protocol, Recipe, Task

TASK = Task(
    name="toy/forms", version=1, title="", kind="classification", classes=2,
    loss="cross_entropy", metrics=("error_pct",),
)  # fmt: skip


class Numbers(Entry):
    """Rows of numbers in `.npy` files; the other form has them as text."""

    def inspect(self, path: Path) -> Origin:
        return origin_of(path)

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        (path,) = paths
        rows = np.load(path) if path.suffix == ".npy" else np.loadtxt(path)
        inputs = rows.astype(np.float32)[:, None]
        labels = (rows[:, 0] > 0).astype(np.int64)
        count = len(rows) // 3
        block = Block(np.arange(3 * count), inputs[: 3 * count], labels[: 3 * count])
        return Reading(counts=dict.fromkeys(("test", "val", "train"), count), blocks=[block])

    def miniature(self, folder: Path) -> None:
        (folder / "deep").mkdir()
        np.save(folder / "deep" / "rows.npy", np.random.default_rng(0).normal(size=(30, 8)))


OTHER = Numbers(task=TASK, points=8, files=("rows.txt",))
MANY = Numbers(task=TASK, points=8, patterns=("raw/*.csv",))
ENTRY = Numbers(
    task=TASK, points=8, files=("rows.npy",), alternatives=(MANY, OTHER), miniature_version=1
)


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(catalog.TASKS, "_entries", dict(catalog.TASKS))
    benchmarks.add_task(ENTRY)
    return TASK.name


ROWS = np.random.default_rng(1).normal(size=(12, 8))


def test_the_first_form_whose_files_are_there_is_read(task: str, data_root: Path) -> None:
    with pytest.raises(data.MissingError, match=r"needs rows\.npy.* read from raw/\*\.csv\. .*txt"):
        data.locate(task, data_root=data_root)
    np.savetxt(data_root / "rows.txt", ROWS)
    text = data.load(task, data_root=data_root)
    assert "rows.txt" in text.source and len(text.train) == 4
    assert any("rows.txt" in line for line in data.verify(task, data_root=data_root))
    np.save(data_root / "rows.npy", ROWS)
    binary = data.load(task, data_root=data_root)
    assert "rows.npy" in binary.source and binary.fingerprint != text.fingerprint
    np.testing.assert_allclose(binary.train.inputs, text.train.inputs, rtol=1e-6)


def test_origins_are_read_from_the_mark_above_a_file(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b" / "c" / "file.npy"
    place.parent.mkdir(parents=True)
    assert origin_of(place) == "official"
    (tmp_path / "a" / MARK).write_text("miniature\r\n")
    assert origin_of(place) == "miniature"
    (tmp_path / "a" / "b" / MARK).write_text("generated")
    assert origin_of(place) == "generated"
    (tmp_path / "a" / "b" / MARK).write_text("real")
    with pytest.raises(DataError, match=r"found 'real', expected one of official, generated, min"):
        origin_of(place)


def test_miniatures_are_marked_and_no_other_run_finds_them(task: str, data_root: Path) -> None:
    root = make_miniatures([task], data_root)
    loaded = data.load(task, data_root=root)
    assert loaded.origin == "miniature" and len(loaded.test) == 10
    with pytest.raises(data.MissingError):
        data.locate(task, data_root=data_root)
    written = next(root.rglob("rows.npy"))
    stamp = written.stat().st_mtime_ns
    assert make_miniatures([task], data_root) == root and written.stat().st_mtime_ns == stamp
    with pytest.raises(RequestError, match=r"no miniature of task 'pdebench/darcy'; .*toy/forms"):
        make_miniatures(["pdebench/darcy"], data_root)


def test_they_go_to_the_cache_beside_read_only_data(
    task: str, data_root: Path, cache: Path
) -> None:
    data_root.chmod(0o500)
    try:
        assert make_miniatures([task], data_root) == cache / "miniatures"
    finally:
        data_root.chmod(0o700)


def test_a_grid_of_miniatures_has_nothing_to_do_with_official_files(
    task: str, data_root: Path, tmp_path: Path
) -> None:
    np.save(data_root / "rows.npy", ROWS)
    place = tmp_path / "grid.yaml"
    grid = {"tasks": [task], "methods": ["scratch"], "seeds": [0]}
    ids = {}
    for miniature in (False, True):
        place.write_text(yaml.safe_dump({**grid, "miniature": miniature}))
        (cell,) = make_plan(load_grid(str(place)), Ledger(tmp_path / "results"), data_root)
        assert cell.source is not None and cell.problem is None
        ids[cell.source.origin] = cell.cell.id
    assert ids.keys() == {"official", "miniature"} and len(set(ids.values())) == 2
