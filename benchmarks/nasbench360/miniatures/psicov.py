"""A miniature of PSICOV: folded random walks, and maps that show where they meet."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_TRAIN, _TEST = 14, 4
_LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def write(folder: Path) -> None:
    """Write two lists and the files of their proteins, in half precision as they are released.

    Of the test one has no pair to be scored, one lies over several squares, and the first is
    neither the longest nor the shortest.
    """
    rng = np.random.RandomState(5)
    folder.mkdir()
    for part, count in (("deepcov", _TRAIN), ("psicov", _TEST)):
        for kind in ("features", "distance"):
            (folder / part / kind).mkdir(parents=True)
        lines = []
        for number in range(count):
            name = f"{number + 1}{part[0]}{part[1:3]}A"
            # 20 are too few for a pair of residues that are 24 apart.
            given = {0: 90, 1: 20, 2: 150} if part == "psicov" else {0: 140, 2: 150}
            length = given.get(number) or int(rng.randint(34, 70))
            _protein(folder / part, name, length, rng)
            lines.append(f"{name} {length}" if part == "deepcov" else name)
        (folder / f"{part}.lst").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _protein(folder: Path, name: str, length: int, rng: np.random.RandomState) -> None:
    distances = _folded(length, rng)
    sequence = "".join(rng.choice(list(_LETTERS), length))
    near = np.exp(-distances / 8)
    features: dict[str, Any] = {
        "seq": sequence,
        "ss": rng.dirichlet([1, 1, 1], length).T,
        "pssm": rng.normal(0, 1, (length, 22)),
        "sa": rng.uniform(size=length),
        "entropy": rng.uniform(size=length),
        "ccmpred": near + rng.normal(0, 0.02, near.shape),
        "freecon": near**2 + rng.normal(0, 0.05, near.shape),
        "potential": rng.normal(0, 1, near.shape),
    }
    features |= {key: value.astype(np.float16) for key, value in features.items() if key != "seq"}
    (folder / "features" / f"{name}.pkl").write_bytes(pickle.dumps(features, protocol=2))
    content = np.empty(3, dtype=object)
    content[:] = [length, sequence, distances.astype(np.float16)]
    np.save(folder / "distance" / f"{name}-cb.npy", content, allow_pickle=True)
    if length == 20:
        # Of alpha carbons, which lie beside in the release and are not read.
        (folder / "distance" / f"{name}-ca.npy").write_bytes(b"")


def _folded(length: int, rng: np.random.RandomState) -> npt.NDArray[np.float64]:
    """Return distances in a hairpin: a walk there and back in steps of 3.8 angstrom."""
    places = np.arange(length)
    turn = length / 2
    along = 3.8 * np.minimum(places, length - 1 - places)
    across = np.where(places < turn, 0.0, 5.0)
    bend = 4 * np.sin(places / rng.uniform(3, 9) + rng.uniform(0, 6))
    points = np.stack([along, across, bend], axis=1) + rng.normal(0, 0.3, (length, 3))
    return np.sqrt(((points[:, None] - points) ** 2).sum(axis=2))
