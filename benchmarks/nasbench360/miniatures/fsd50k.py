"""A miniature of FSD50K: one tone for each label, in noise."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np

from benchmarks.nasbench360 import sound_chunks
from benchmarks.nasbench360.sound_chunks import RATE

_LABELS = 200
_HEARD = 5


def write(folder: Path) -> None:
    """Write three lists, the labels and the chunks of clips of 0.4 to 1.6 seconds.

    Five labels are heard, some clips have two; the others are in the list of labels alone.
    """
    rng = np.random.RandomState(9)
    chunks = folder / "chunks"
    chunks.mkdir(parents=True)
    names = [f"Sound_{number:03d}" for number in range(_LABELS)]
    for split, count in (("tr", 36), ("val", 8), ("eval", 14)):
        lines = ["files,labels,ext"]
        for number in range(count):
            clip = f"{ {'tr': 1, 'val': 2, 'eval': 3}[split] }{number:04d}"
            heard = {number % _HEARD, *([(number + 2) % _HEARD] if number % 6 == 5 else [])}
            length = 0.4 if number == 0 else 1.6 if number == 1 else rng.uniform(0.5, 1.0)
            for place, chunk in enumerate(sound_chunks.cut(_sound(heard, length, rng))):
                name = f"{clip}_{place:04d}.wav"
                _save(chunks / name, chunk)
                labels = ",".join(names[label] for label in sorted(heard))
                lines.append(f'data/chunks/{name},"{labels}",{clip}')
        (chunks / f"{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    numbered = {name: number for number, name in enumerate(names)}
    (chunks / "lbl_map.json").write_text(json.dumps(numbered), encoding="utf-8")


def _sound(heard: set[int], seconds: float, rng: np.random.RandomState) -> sound_chunks.Sound:
    time = np.arange(int(seconds * RATE)) / RATE
    sound = rng.normal(0, 300, len(time))
    for label in heard:
        pitch = 300 * 1.9**label * rng.uniform(0.95, 1.05)
        sound += 4000 * np.sin(2 * np.pi * pitch * time + rng.uniform(0, 6))
    return sound.astype(np.int16)


def _save(path: Path, sound: sound_chunks.Sound) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(sound.astype("<i2").tobytes())
