"""A miniature of ECG: beats by formula, whose rhythm tells the class."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import numpy.typing as npt

RECORDS = 80


def write(path: Path) -> None:
    """Write records in the layout of the benchmark's pickle.

    Normal ones have even beats, those with fibrillation uneven ones and no wave before the beat,
    others every second beat late and inverted, noisy ones hardly any beat. The shortest record is
    one window long, and one is constant.
    """
    rng = np.random.RandomState(4)
    # In this order each split has records of every class.
    labels = ["NAO~"[number % 4] for number in rng.permutation(RECORDS)]
    lengths = rng.randint(1001, 1250, RECORDS)
    lengths[0] = 1000
    series = [_record(label, length, rng) for label, length in zip(labels, lengths, strict=True)]
    series[3] = np.full(1100, 7, dtype=np.int16)
    data = np.empty(RECORDS, dtype=object)
    data[:] = series
    content = {
        "data": data,
        "label": np.array(labels, dtype=object),
        "xmft_origin": "miniature",
    }
    path.write_bytes(pickle.dumps(content, protocol=4))


def _record(label: str, length: int, rng: np.random.RandomState) -> npt.NDArray[np.int16]:
    values = rng.normal(0, 220 if label == "~" else 25, length)
    times, place, beat = np.arange(length), float(rng.randint(0, 120)), 0
    while place < length:
        odd = label == "O" and beat % 2 == 1
        height = {"~": 60.0, "O": -700.0 if odd else 700.0}.get(label, 700.0)
        values += height * np.exp(-(((times - place) / 6) ** 2))
        if label != "A":
            values += 0.2 * abs(height) * np.exp(-(((times - place + 45) / 12) ** 2))
        uneven = rng.uniform(-110, 110) if label == "A" else rng.uniform(-6, 6)
        place += 230 + uneven + (60 if odd else 0)
        beat += 1
    return np.clip(values, -32768, 32767).astype(np.int16)
