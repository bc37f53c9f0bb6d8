"""Sounds of FSD50K as tests write them."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.nasbench360.sound_chunks import RATE

NAME = "nasbench360/fsd50k"
SECONDS = (0.3, 1.0, 1.2, 2.6)


def save(path: Path, sound: Any, rate: int = RATE, channels: int = 1, width: int = 2) -> None:
    """Write a wav file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(sound, f"<i{width}").tobytes())


def raw_release(folder: Path, rate: int, *, evaluated: int = 4) -> dict[str, np.ndarray[Any, Any]]:
    """Write clips as they were released, nine for development; return them by name."""
    truth = folder / "FSD50K.ground_truth"
    truth.mkdir()
    lines = [f"{number},Sound_{number:03d},/m/{number}" for number in range(200)]
    (truth / "vocabulary.csv").write_text("\n".join(lines))
    rng, sounds = np.random.default_rng(0), {}
    for part, count in (("dev", 9), ("eval", evaluated)):
        (folder / f"FSD50K.{part}_audio").mkdir()
        rows = ["fname,labels,mids,split" if part == "dev" else "fname,labels,mids"]
        for number in range(count):
            name = f"{part}{number}"
            length = SECONDS[number % 4]
            sounds[name] = rng.integers(-9000, 9000, int(length * rate)).astype(np.int16)
            save(folder / f"FSD50K.{part}_audio" / f"{name}.wav", sounds[name], rate)
            split = f",{'val' if number % 3 == 0 else 'train'}" if part == "dev" else ""
            rows.append(f'{name},"Sound_00{number % 7},Sound_199","/m/1,/m/2"{split}')
        (truth / f"{part}.csv").write_text("\n".join(rows))
    return sounds
