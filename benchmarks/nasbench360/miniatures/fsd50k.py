"""A miniature of FSD50K: one to three of four tones in noise, each a label."""

from __future__ import annotations

import csv
import json
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.nasbench360.sound_chunks import RATE, SIZE, STEP, cut

TONES = {3: 330.0, 57: 900.0, 120: 2400.0, 199: 6000.0}
"""Hertz of each label that is there."""
LABELS = 200
COUNTS = {"tr": (28, 2), "val": (3, 1), "eval": (7, 2)}
"""Clips of one chunk in each table, and of three."""


def write(folder: Path) -> None:
    """Write tables, labels, chunks and a file of noise in the layout of the benchmark's archive.

    Each table has a clip of exactly one second, which has two chunks; the first clip of `tr` is 0.4
    seconds long, repeated; the last one of `val` is silent but for its one tone's first tenth.
    """
    rng = np.random.RandomState(360)
    chunks = folder / "chunks"
    chunks.mkdir(parents=True)
    names = [f"Kind_of_sound_{number:03d}" for number in range(LABELS)]
    numbers = {name: number for number, name in enumerate(names)}
    (chunks / "lbl_map.json").write_text(json.dumps(numbers), encoding="utf-8")
    clip = 1000
    for table, (single, triple) in COUNTS.items():
        rows, lengths = [], [*[SIZE - 2000] * single, SIZE, *[SIZE + STEP - 3000] * triple]
        (chunks / table).mkdir()
        for place, length in enumerate(lengths):
            labels = [label for label in TONES if rng.random_sample() < 0.4]
            labels = labels or [list(TONES)[place % len(TONES)]]
            sound = _sound(labels, RATE * 2 // 5 if (table, place) == ("tr", 0) else length, rng)
            if (table, place) == ("val", len(lengths) - 1):
                sound[len(sound) // 10 :] = 0
            for number, chunk in enumerate(cut(sound)):
                path = chunks / table / f"{clip}_{number:04d}.wav"
                _write(path, chunk)
                said = ",".join(names[label] for label in labels)
                rows.append([f"data/chunks/{table}/{path.name}", said, clip])
            clip += 7
        with (chunks / f"{table}.csv").open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([["files", "labels", "ext"], *rows])
    (folder / "noise_22050").mkdir()
    _write(folder / "noise_22050" / "noise-0001.wav", _sound([], SIZE // 5, rng))


def _sound(labels: list[int], length: int, rng: np.random.RandomState) -> npt.NDArray[np.int16]:
    times = np.arange(length) / RATE
    values = rng.randint(-400, 401, length).astype(np.float64)
    for label in labels:
        values += 3000 * np.sin(2 * np.pi * (TONES[label] * times + rng.random_sample()))
    return np.rint(values).astype(np.int16)


def _write(path: Path, sound: npt.NDArray[np.int16]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound.astype("<i2").tobytes())
