"""Miniatures of labelled images: CIFAR-100, the same on a sphere, and muscle signals."""

from __future__ import annotations

import gzip
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_TRAIN, _TEST = 320, 60
# Few of the hundred classes, the first and the last among them.
_SHOWN = np.arange(0, 100, 11)
# Written by Python 2, as the released pickles are.
_PROTOCOL = 2


def write_cifar100(folder: Path) -> None:
    """Write `train`, `test` and `meta`; each class has waves of its own in its own colours."""
    folder.mkdir()
    for split, count, seed in (("train", _TRAIN, 0), ("test", _TEST, 1)):
        labels = _SHOWN[np.arange(count) % len(_SHOWN)]
        images = waves(labels, 32, seed)
        content = {
            b"data": images.reshape(count, -1),
            b"fine_labels": labels.tolist(),
            b"coarse_labels": (labels // 5).tolist(),
            b"filenames": [f"{split}_{number}.png".encode() for number in range(count)],
            b"batch_label": f"{split} batch 1 of 1".encode(),
        }
        _dump(folder / split, content)
    names = {
        b"fine_label_names": [f"fine {number}".encode() for number in range(100)],
        b"coarse_label_names": [f"coarse {number}".encode() for number in range(20)],
    }
    _dump(folder / "meta", names)


def write_spherical(path: Path) -> None:
    """Write the gzip pickle; one channel of the first image is constant."""
    content: dict[str, Any] = {}
    for split, count, seed in (("train", 200, 2), ("test", 40, 3)):
        labels = _SHOWN[np.arange(count) % len(_SHOWN)]
        # In steps of 16, which gzip makes small.
        images = (waves(labels, 60, seed) // 16 * 16).astype(np.uint8)
        images[0, 1] = 0
        content[split] = {"images": images, "labels": labels.astype(np.int64)}
    # The time of writing is no part of the file.
    path.write_bytes(gzip.compress(pickle.dumps(content, protocol=4), mtime=0))


def write_ninapro(folder: Path) -> None:
    """Write six arrays; each gesture is strong at an electrode of its own, slowly or quickly."""
    for split, count, seed in (("train", 216, 4), ("val", 36, 5), ("test", 54, 6)):
        rng = np.random.RandomState(seed)
        labels = np.arange(count) % 18
        time = np.arange(52)[:, None]
        near = np.exp(-0.5 * (np.arange(16) - labels[:, None] % 9 * 1.8) ** 2)[:, None]
        pace = np.where(labels < 9, 0.3, 0.9)[:, None, None]
        signal = 40 * near * np.sin(pace * time + rng.uniform(0, 6, (count, 1, 1)))
        values = signal + rng.normal(0, 4, (count, 52, 16))
        np.save(folder / f"ninapro_{split}.npy", values)
        np.save(folder / f"label_{split}.npy", labels)


def waves(labels: npt.NDArray[Any], side: int, seed: int) -> npt.NDArray[np.uint8]:
    """Return noisy images `[n, 3, side, side]` whose colours and waves follow from the labels."""
    rng = np.random.RandomState(seed)
    direction = labels * 0.37
    colour = 128 + 70 * np.cos(labels[:, None] + np.array([0.0, 2.1, 4.2]))
    rows, columns = np.mgrid[:side, :side] / side * 2 * np.pi
    phase = (
        np.cos(direction)[:, None, None] * rows
        + np.sin(direction)[:, None, None] * columns
        + rng.uniform(0, 2 * np.pi, (len(labels), 1, 1))
    )
    images = colour[:, :, None, None] + 30 * np.sin(2 * phase)[:, None]
    noise = rng.normal(0, 12, (len(labels), 3, side, side))
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def _dump(path: Path, content: dict[bytes, Any]) -> None:
    path.write_bytes(pickle.dumps(content, protocol=_PROTOCOL))
