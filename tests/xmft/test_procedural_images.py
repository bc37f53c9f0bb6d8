from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xmft.source.procedural_images import PATTERNS, procedural_images

Images = tuple[NDArray[np.uint8], NDArray[np.int64]]


@pytest.fixture(scope="module")
def images() -> Images:
    return procedural_images(1500)


def test_balanced_and_in_random_order(images: Images) -> None:
    pixels, labels = images
    assert pixels.shape == (1500, 3, 32, 32) and pixels.dtype == np.uint8
    assert np.bincount(labels).tolist() == [150] * len(PATTERNS)
    assert len(set(labels[:100].tolist())) == 10
    uneven = np.bincount(procedural_images(23)[1])
    assert uneven.sum() == 23 and uneven.max() - uneven.min() == 1


def test_the_same_every_time(images: Images) -> None:
    np.random.seed(3)
    again = procedural_images(1500)
    assert all(np.array_equal(a, b) for a, b in zip(images, again, strict=True))
    assert len(np.unique(images[0].reshape(1500, -1), axis=0)) == 1500


def probed(features: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Share right of a linear probe, held out."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    return float(probe.fit(features[:1000], labels[:1000]).score(features[1000:], labels[1000:]))


def test_the_shape_tells_the_class_and_the_colour_does_not(images: Images) -> None:
    pixels, labels = images
    values = pixels / 255
    colours = np.concatenate([values.mean(axis=(2, 3)), values.std(axis=(2, 3))], axis=1)
    assert probed(colours, labels) < 0.25  # 0.1 is a guess
    grey = values.mean(axis=1)
    grey = (grey - grey.mean(axis=(1, 2), keepdims=True)) / grey.std(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.rfft2(grey))
    frequency = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.rfftfreq(32)) * 32
    rings = [power[:, frequency.astype(int) == k].mean(axis=1) for k in range(16)]
    across, down = np.gradient(grey, axis=(1, 2))
    slope, angle = np.hypot(across, down), np.arctan2(down, across)
    turned = [np.abs((slope * np.exp(1j * k * angle)).sum(axis=(1, 2))) for k in (2, 4)]
    moments = [(grey**k).mean(axis=(1, 2)) for k in (3, 4)]
    simple = np.stack([*np.log1p(rings), *turned, *moments], axis=1)
    assert 0.5 < probed(simple, labels) < 0.95


def test_every_image_shows_something(images: Images) -> None:
    spread = images[0].astype(float).std(axis=(2, 3)).max(axis=1)
    assert spread.min() > 5
