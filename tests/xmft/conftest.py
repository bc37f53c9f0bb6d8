"""A dense and a classification task small enough to train in a second, and a way to train them."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from xmft.methods.variants import options_of
from xmft.records import FitResult
from xmft.session import Session
from xmft.stages import Stage
from xmft.task import Kind, Recipe, Split, Task, TaskData
from xmft.training import Assembled, assemble

# Small values for every option that costs time.
SOURCE = {"samples": 64, "tokens": 8}
ALIGNMENT = {
    "alignment_steps": 20,
    "alignment_batch": 12,
    # That of fitting: rounding grows with it.
    "alignment_rate": 3e-3,
    "clusters": 3,
    "source": SOURCE,
}
PREDICTED = {**ALIGNMENT, "predictor": {"plain_steps": 10, "bounded_steps": 1}}
CONFIGS: dict[str, dict[str, Any]] = {
    "orca": PREDICTED,
    "recraft": PREDICTED,
    "recraft-scratch": PREDICTED,
    "orca:released": {"alignment_steps": 20, "per_class": 4, "clusters": 3},
    "recraft:paper": {"predictor": {"plain_steps": 10, "bounded_steps": 1}},
    "recraft:released": {
        "alignment_steps": 20,
        "alignment_batch": 12,
        "label_epochs": 2,
        "label_batch": 6,
        "clusters": 3,
        "predictor": {"plain_steps": 10},
    },
    "pare": {"source": SOURCE},
    "shift": {"source": SOURCE, "clusters": 3},
    "mona": PREDICTED,
    "mona:exact": {"order": "exact"},
    "fno": {"modes": 4, "width": 8, "depth": 2},
    "unet": {"features": 8, "levels": 2},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from threads, and sums keep their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Loss and metrics of each kind of task.
LOSS = {
    "dense": "nrmse",
    "classification": "cross_entropy",
    "multilabel": "binary_cross_entropy",
}
METRICS = {
    "dense": ("nrmse", "nrmse_pdebench", "rmse"),
    "classification": ("error_pct",),
    "multilabel": ("label_error_pct",),
}


def _data(kind: Kind, arrays: Callable[[int], tuple[np.ndarray, np.ndarray]]) -> TaskData:
    task = Task(
        name=f"toy/{kind}",
        version=1,
        title=f"a {kind} toy",
        kind=kind,
        loss=LOSS[kind],
        metrics=METRICS[kind],
        classes=None if kind == "dense" else 3,
    )
    train, val, test = (
        Split(inputs=inputs, targets=targets) for inputs, targets in map(arrays, (45, 11, 14))
    )
    return TaskData(
        task=task,
        train=train,
        val=val,
        test=test,
        origin="miniature",
        fingerprint=kind,
        source="made by formula",
    )


@pytest.fixture(scope="session")
def dense_data() -> TaskData:
    """Two channels of waves; the target is one channel moved plus half of the other."""
    rng = np.random.default_rng(0)
    x = np.linspace(0, 2 * np.pi, 32, endpoint=False)

    def arrays(count: int) -> tuple[np.ndarray, np.ndarray]:
        size, shift = rng.uniform(0.5, 2, (2, count, 2, 1))
        inputs = size * np.sin(x + 3 * shift) + [[0.0], [5.0]]
        targets = np.roll(inputs[:, :1], 3, axis=2) + inputs[:, 1:] / 2
        return inputs.astype(np.float32), targets.astype(np.float32)

    return _data("dense", arrays)


@pytest.fixture(scope="session")
def class_data() -> TaskData:
    """Waves of three frequencies under noise."""
    rng = np.random.default_rng(1)
    x = np.linspace(0, 2 * np.pi, 32, endpoint=False)

    def arrays(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 3
        waves = np.sin((1 + labels[:, None]) * x) + 0.1 * rng.standard_normal((count, 32))
        return waves[:, None].astype(np.float32), labels.astype(np.int64)

    return _data("classification", arrays)


@pytest.fixture(scope="session")
def multilabel_data() -> TaskData:
    """Three channels of noise; each label lifts one of them."""
    rng = np.random.default_rng(2)

    def arrays(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count)[:, None] >> np.arange(3) & 1
        inputs = labels[:, :, None] + 0.1 * rng.standard_normal((count, 3, 32))
        return inputs.astype(np.float32), labels.astype(np.float32)

    return _data("multilabel", arrays)


@pytest.fixture
def recipe() -> Recipe:
    """Three epochs of batches that do not divide the 45 samples."""
    return Recipe(epochs=3, batch_size=8, learning_rate=3e-3, max_tokens=8)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the cache of the person who runs the tests out of them."""
    monkeypatch.setenv("XMFT_CACHE", str(tmp_path / "own-cache"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for source artefacts, so that they are computed once."""
    return tmp_path_factory.mktemp("artefacts")


Built = tuple[Any, list[Stage]]


def build_cell(
    cache: Path, method: str, data: TaskData, recipe: Recipe, *, seed: int = 0, **options: Any
) -> Built:
    """Build a model and the stages of a method or `method:preset`, as the runner does."""
    assembled = assemble_cell(cache, method, data, recipe, seed=seed, **options)
    return assembled.model, assembled.stages


def assemble_cell(
    cache: Path, method: str, data: TaskData, recipe: Recipe, *, seed: int = 0, **options: Any
) -> Assembled:
    """Assemble a method or `method:preset` with small options, on the tiny encoder."""
    return assemble(
        data,
        method.partition(":")[0],
        backbone="tiny-sequence",
        recipe=recipe,
        options={**options_of(method, CONFIGS), **options},
        source="stdlib-docs",
        seed=seed,
        cache=cache,
    )


@pytest.fixture(scope="session")
def build(cache: Path) -> Callable[..., Built]:
    """`build_cell` with the shared folder of artefacts."""
    return functools.partial(build_cell, cache)


@pytest.fixture(scope="session")
def train(cache: Path) -> Callable[..., tuple[Any, FitResult]]:
    """Build and fit."""

    def trained(
        method: str,
        data: TaskData,
        recipe: Recipe,
        *,
        session: Session | None = None,
        micro_batch: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> tuple[Any, FitResult]:
        assembled = assemble_cell(cache, method, data, recipe, seed=seed, **options)
        done = assembled.fit(session, micro_batch=micro_batch)
        return done.model, done.result

    return trained
