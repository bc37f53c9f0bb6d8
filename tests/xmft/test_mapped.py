"""Mapped files larger than what a run may hold of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from xmft import stored
from xmft.samples import Draw, Samples
from xmft.split import Split
from xmft.task import Ragged, Windows

MIB = 2**20
SMAPS = Path("/proc/self/smaps")


def resident(path: Path) -> int:
    """Bytes of a mapped file that count as memory of this process, by what Linux says."""
    lines, total = iter(SMAPS.read_text().splitlines()), 0
    for line in lines:
        if line.endswith(str(path)):
            total += next(int(row.split()[1]) for row in lines if row.startswith("Rss:"))
    return total * 1024


@pytest.mark.parametrize("how", ["windows", "rows", "whole clips"])
def test_pages_are_given_back(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_PAGES_BYTES", MIB)
    path, size, count = tmp_path / "values.npy", 2**15, 512
    np.save(path, np.arange(size * count, dtype=np.int16).reshape(count, size))
    values = np.load(path, mmap_mode="r")
    ragged = Ragged(values=values.reshape(-1), offsets=np.arange(count + 1) * size)
    table = np.column_stack([np.arange(count), np.zeros(count, np.int64)])
    windows = Windows(table=table, size=(size // 2,), random=how == "windows", cut=how == "windows")
    split = Split(
        inputs=values if how == "rows" else ragged,
        targets=np.zeros(count, np.int64),
        windows=None if how == "rows" else windows,
    )
    samples = Samples(split, torch.device("cpu"), limit=0, decode=lambda pieces: pieces)  # type: ignore[arg-type, return-value]
    most, seen = 0, 0
    for start in range(0, count, 8):
        draw = Draw(seed=0, stage="fit", epoch=start)
        found = samples.take(np.arange(start, start + 8), draw).inputs
        seen += (found if isinstance(found, torch.Tensor) else found[0]).nbytes
        if not isinstance(found, torch.Tensor):
            found = found[0].view(8, size)
        # Each value says where it is from.
        steps = found.to(torch.int32).diff(dim=1) % 2**16
        assert (steps == 1).all()
        most = max(most, resident(path) if SMAPS.exists() else 0)
    assert seen >= 16 * MIB and most < 6 * MIB


def test_what_was_written_to_a_private_mapping_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "_PAGES_BYTES", 1)
    path = tmp_path / "values.npy"
    np.save(path, np.zeros((4, 3, 2), np.float32))
    values = np.load(path, mmap_mode="c")
    values[1] = 7
    kept = stored.Stored(values, torch.device("cpu"), resident=False)
    for _ in range(3):
        found = kept.rows(np.array([1, 2]))
        assert isinstance(found, torch.Tensor) and found.sum() == 42
