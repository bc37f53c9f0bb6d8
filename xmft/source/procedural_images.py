"""Labelled images made by formula, the proxy of vision encoders where no download is possible.

Ten kinds of pattern in random place, direction, size, sharpness and pair of colours, under uneven
light and noise. What makes a class is its shape: no colour or brightness gives it away.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from xmft.backbones import Backbone
from xmft.seeding import generator
from xmft.source.proxy import PROXIES, Proxy, SourceConfig, SourceSamples

# Raised when the formulas start to give other images.
_VERSION = 1
_SIDE = 32
# Colours are drawn again until they are this far apart, of at most 3 ** 0.5.
_LEAST_CONTRAST = 0.4

_Field = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Plane:
    """Coordinates of n images, each turned and moved at random; the image is about 2 wide.

    Attributes:
        u: First coordinate `[n, side, side]`.
        v: Second coordinate, at a right angle.
        rng: Draws whatever else a pattern leaves open.
    """

    u: _Field
    v: _Field
    rng: np.random.Generator

    def draw(self, low: float, high: float) -> _Field:
        """Return one uniform number for each image, `[n, 1, 1]`."""
        return self.rng.uniform(low, high, (len(self.u), 1, 1))

    def wave(self, position: _Field, frequency: _Field | None = None) -> _Field:
        """Return a sine along `position` of random phase, 1.5 to 4 periods over the image."""
        rate = self.frequency() if frequency is None else frequency
        return np.sin(rate * position + self.draw(0, 2 * np.pi))

    def frequency(self) -> _Field:
        """Return an angular frequency for each image."""
        return self.draw(1.5 * np.pi, 4 * np.pi)


def _stripes(plane: _Plane) -> _Field:
    return plane.wave(plane.u)


def _waves(plane: _Plane) -> _Field:
    bend = plane.draw(0.15, 0.3) * plane.wave(plane.v)
    return plane.wave(plane.u + bend)


def _checks(plane: _Plane) -> _Field:
    rate = plane.frequency()
    return plane.wave(plane.u, rate) * plane.wave(plane.v, rate)


def _rings(plane: _Plane) -> _Field:
    return plane.wave(np.hypot(plane.u, plane.v))


def _spokes(plane: _Plane) -> _Field:
    return np.sin(np.floor(plane.draw(3, 8)) * np.arctan2(plane.v, plane.u))


def _dots(plane: _Plane) -> _Field:
    rate = plane.frequency()
    return plane.wave(plane.u, rate) + plane.wave(plane.v, rate) - plane.draw(0.8, 1.2)


def _blobs(plane: _Plane) -> _Field:
    total = np.zeros_like(plane.u)
    for _ in range(6):
        angle = plane.draw(0, 2 * np.pi)
        total += plane.wave(np.cos(angle) * plane.u + np.sin(angle) * plane.v)
    return total / 2


def _polygon(plane: _Plane) -> _Field:
    sides = np.floor(plane.draw(3, 7))
    # Inside of all its edges: the angle is folded to that of the nearest one.
    angle = np.arctan2(plane.v, plane.u)
    folded = (angle + np.pi / sides) % (2 * np.pi / sides) - np.pi / sides
    return 4 * (plane.draw(0.3, 0.6) - np.hypot(plane.u, plane.v) * np.cos(folded))


def _gradient(plane: _Plane) -> _Field:
    return 0.5 * (plane.u + plane.draw(-0.5, 0.5) * plane.u**2)


def _grain(plane: _Plane) -> _Field:
    noise = plane.rng.standard_normal(plane.u.shape)
    # Each point with its neighbours, so that grains are about two points wide.
    across = noise + np.roll(noise, 1, axis=1)
    return (across + np.roll(across, 1, axis=2)) / 2


PATTERNS: dict[str, Callable[[_Plane], _Field]] = {
    "stripes": _stripes,
    "waves": _waves,
    "checks": _checks,
    "rings": _rings,
    "spokes": _spokes,
    "dots": _dots,
    "blobs": _blobs,
    "polygon": _polygon,
    "gradient": _gradient,
    "grain": _grain,
}


def procedural_images(count: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return images `[count, 3, 32, 32]` and their labels, indices into `PATTERNS`.

    The classes are equally large up to one image, in random order; the same count gives the same
    images everywhere.
    """
    labels = np.arange(count) % len(PATTERNS)
    images = np.empty((count, 3, _SIDE, _SIDE), dtype=np.uint8)
    for label, (name, pattern) in enumerate(PATTERNS.items()):
        rows = labels == label
        images[rows] = _drawn(pattern, int(rows.sum()), generator("procedural-images", name))
    order = generator("procedural-images").permutation(count)
    return images[order], labels[order]


def _drawn(
    pattern: Callable[[_Plane], _Field], count: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    y, x = np.meshgrid(*[np.linspace(-1, 1, _SIDE)] * 2, indexing="ij")
    shift_x, shift_y = rng.uniform(-0.4, 0.4, (2, count, 1, 1))
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    x, y = x - shift_x, y - shift_y
    plane = _Plane(
        u=np.cos(angle) * x + np.sin(angle) * y, v=np.cos(angle) * y - np.sin(angle) * x, rng=rng
    )
    share = 1 / (1 + np.exp(-plane.draw(2, 12) * pattern(plane)))
    first, second = _colours(count, rng)
    images = first + share[:, None] * (second - first)
    tilt = plane.draw(0, 2 * np.pi)
    light = plane.draw(0, 0.2) * (np.cos(tilt) * x + np.sin(tilt) * y)
    noise = plane.draw(0, 0.08)[:, None] * rng.standard_normal(images.shape)
    return np.rint(255 * np.clip(images + light[:, None] + noise, 0, 1)).astype(np.uint8)


def _colours(count: int, rng: np.random.Generator) -> tuple[_Field, _Field]:
    """Return two colours `[count, 3, 1, 1]` for each image, not too alike."""
    pairs = rng.uniform(0, 1, (2, count, 3))
    while (alike := np.linalg.norm(pairs[0] - pairs[1], axis=1) < _LEAST_CONTRAST).any():
        pairs[:, alike] = rng.uniform(0, 1, (2, int(alike.sum()), 3))
    return pairs[0][..., None, None], pairs[1][..., None, None]


def _samples(backbone: Backbone, config: SourceConfig, data_root: Path) -> SourceSamples:
    images, labels = procedural_images(config.samples)
    return SourceSamples(
        inputs=torch.from_numpy(images),
        labels=torch.from_numpy(labels),
        classes=len(PATTERNS),
        fingerprint=str(_VERSION),
    )


PROXIES.add(
    "procedural-images",
    Proxy(
        modality="vision",
        classes=len(PATTERNS),
        title=f"images made by formula ({', '.join(PATTERNS)}); needs no files",
        identity=lambda _: str(_VERSION),
        samples=_samples,
        default=True,
    ),
)
