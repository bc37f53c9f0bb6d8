"""Files of PDNET: what is known of a protein, and the distances in it.

`<id>.pkl` is a pickled dictionary: `seq`, the sequence of L letters; `ss` `[3, L]`, `pssm`
`[L, 22]`, `sa` and `entropy` `[L]`; `ccmpred`, `freecon` and `potential` `[L, L]`. `<id>-cb.npy`
holds three objects: L, the sequence, and the distances between beta carbons `[L, L]`; those
between alpha carbons, `<id>-ca.npy`, may lie beside it. All of these numbers are released in half
precision and are kept so: half the room, and not a digit lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from xmft.errors import FileError
from xmft.pickles import load_objects, load_pickle
from xmft.text_files import read_text
from xmft.unreadable import check, readable

TRACKS = (
    *(f"ss{number}" for number in range(3)),
    *(f"pssm{number}" for number in range(22)),
    *("sa", "entropy"),
)
"""Of each residue."""

MAPS = ("ccmpred", "freecon", "potential")
"""Of each pair."""

_LARGEST = 100.0
_SHORTEST, _LONGEST = 1.0, 500.0
Floats = npt.NDArray[Any]
"""Half precision where a file has no more, otherwise single."""


@dataclass(frozen=True, kw_only=True)
class Protein:
    """One protein, stored flat.

    Attributes:
        sequence: L letters.
        inputs: Tracks `[27, L]` and then maps `[3, L, L]`.
        targets: Distances `[L, L]` in angstrom.
    """

    sequence: str
    inputs: Floats
    targets: Floats


def read_ids(path: Path) -> dict[str, int | None]:
    """Return the ids that a list names, in its order, each with its residues as far as they stand.

    Raises:
        FileError: one is named twice, or a line is none of a list.
    """
    ids: dict[str, int | None] = {}
    for line in read_text(path).splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) > 2 or not all(word.isdecimal() for word in words[1:]):
            raise FileError(path, f"has the line {line[:40]!r}", "an id, or one and its residues")
        if words[0] in ids:
            raise FileError(path, f"names {words[0]} twice", "each protein once", between=" ")
        ids[words[0]] = int(words[1]) if words[1:] else None
    return ids


def read_protein(name: str, features: Path, distance: Path) -> Protein:
    """Read and check both files of a protein.

    Raises:
        FileError: one is damaged, or they are of different proteins.
    """
    sequence, tracks, maps = read_features(features)
    length, other, distances = read_distances(distance)
    if (length, other) != (len(sequence), sequence):
        raise FileError(
            distance,
            f"is of {length} residues {_start(other)}, and {features} of {len(sequence)} "
            f"{_start(sequence)}",
            f"both of {name}",
        )
    inputs = np.concatenate([tracks.ravel(), maps.ravel()])
    return Protein(sequence=sequence, inputs=inputs, targets=distances.ravel())


def read_features(path: Path) -> tuple[str, Floats, Floats]:
    """Return the sequence, tracks `[27, L]` and maps `[3, L, L]`.

    Raises:
        FileError: the file is damaged or something else.
    """
    check(path)
    size = path.stat().st_size
    with readable(path), path.open("rb") as stream:
        found = load_pickle(stream, name=str(path), size=size)
    names = ("seq", "ss", "pssm", "sa", "entropy", *MAPS)
    if not isinstance(found, dict) or not set(names) <= found.keys():
        held = ", ".join(map(str, found)) if isinstance(found, dict) else type(found).__name__
        raise FileError(path, f"holds {held}", ", ".join(names), between=" ")
    sequence = _text(path, found["seq"])
    count = len(sequence)
    shapes = {"ss": (3, count), "pssm": (count, 22), "sa": (count,), "entropy": (count,)}
    shapes |= dict.fromkeys(MAPS, (count, count))
    values = {name: _numbers(path, name, found[name], shape) for name, shape in shapes.items()}
    tracks = np.concatenate(
        [values["ss"], values["pssm"].T, values["sa"][None], values["entropy"][None]]
    )
    return sequence, tracks, np.stack([values[name] for name in MAPS])


def read_distances(path: Path) -> tuple[int, str, Floats]:
    """Return the number of residues, the sequence and the distances `[L, L]`.

    As in the benchmark none is below 1, and a residue is as far from itself as from its neighbours.

    Raises:
        FileError: the file is damaged or something else.
    """
    length, sequence, found = load_objects(path, 3)
    text = _text(path, sequence)
    count = int(length) if isinstance(length, int | np.integer) else -1
    distances = np.asarray(found)
    if distances.shape != (count, count) or distances.dtype.kind not in "fiu" or count < 2:
        raise FileError(
            path,
            f"says {length!r} residues and holds distances of the shape {distances.shape}",
            "as many rows and columns as residues",
        )
    if len(text) != count:
        raise FileError(path, f"has a sequence of {len(text)} letters", f"{count}, one a residue")
    # NaN is neither.
    fitting = (distances >= 0) & (distances <= _LONGEST)
    if not fitting.all():
        wrong = distances[~fitting][0]
        expected = f"at least 0 and at most {_LONGEST:g} angstrom"
        raise FileError(path, f"holds a distance of {wrong:g}", expected)
    raised = np.maximum(_kept(distances), _SHORTEST)
    beside = np.diagonal(raised, 1).astype(np.float32)
    means = (np.concatenate([beside[:1], beside]) + np.concatenate([beside, beside[-1:]])) / 2
    # In half precision whatever the others have: the release makes them so, and none is scored.
    np.fill_diagonal(raised, means.astype(np.float16))
    return count, text, raised


def _text(path: Path, value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin1")
    if not isinstance(value, str) or not value:
        raise FileError(path, f"has as sequence a {type(value).__name__}", "letters")
    return str(value)


def _numbers(path: Path, name: str, value: object, shape: tuple[int, ...]) -> Floats:
    found: npt.NDArray[Any] = np.asarray(value)
    if found.shape != shape or found.dtype.kind not in "fiu":
        raise FileError(
            path, f"'{name}' has the shape {found.shape} and the type {found.dtype}", f"{shape}"
        )
    # The benchmark's own bound; NaN is not within it.
    if not (np.abs(found) <= _LARGEST).all():
        wrong = found[~(np.abs(found) <= _LARGEST)][0]
        raise FileError(path, f"'{name}' holds {wrong:g}", f"values within {_LARGEST:g}")
    return _kept(found)


def _kept(found: npt.NDArray[Any]) -> Floats:
    return found if found.dtype == np.float16 else found.astype(np.float32)


def _start(sequence: str) -> str:
    return f"({sequence[:8]}...)"
