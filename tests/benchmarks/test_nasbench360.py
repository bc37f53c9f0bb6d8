"""What holds for every task of NAS-Bench-360, on its miniature."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks import catalog, data
from benchmarks.miniature import make_miniatures
from benchmarks.published import published_scores
from xmft.arrays import Ragged
from xmft.metrics import METRICS
from xmft.samples import Draw, samples_of, shapes_of
from xmft.split import Split
from xmft.task import Protocol, Recipe, TaskData
from xmft.training import train

SUITE = "nasbench360/"
TASKS = [name for name in catalog.names() if name.startswith(SUITE)]
UNDER: list[tuple[str, Protocol]] = [
    (name, protocol) for name in TASKS for protocol in catalog.get(name).protocols
]
TINY = Recipe(epochs=1, layers=1, max_tokens=64, batch_size=8, learning_rate=5e-4)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where miniatures are, each written once."""
    return tmp_path_factory.mktemp("data")


def loaded(
    name: str, root: Path, protocol: Protocol = "clean", recipe: Recipe | None = None
) -> TaskData:
    place = make_miniatures([name], root)
    return data.load(name, data_root=place, protocol=protocol, recipe=recipe)


def contents(split: Split) -> set[bytes]:
    """Hashes of the samples as they are stored, inputs and targets apart from their order."""
    inputs = split.inputs
    return {
        hashlib.sha256(np.ascontiguousarray(inputs[number]).tobytes()).digest()
        for number in range(len(inputs))
    }


def test_all_ten_are_there() -> None:
    names = {name.removeprefix(SUITE) for name in TASKS}
    assert names == {
        *("cifar100", "spherical", "ninapro", "fsd50k", "darcy"),
        *("psicov", "cosmic", "ecg", "satellite", "deepsea"),
    }


@pytest.mark.parametrize("name", TASKS)
def test_what_is_published_is_scored(name: str) -> None:
    """The quantity that the benchmark publishes is among the scores, under the same name."""
    published = {score.metric for score in published_scores() if score.task_name == name}
    assert published and published <= set(catalog.get(name).task.metrics)


@pytest.mark.parametrize("name, protocol", UNDER)
def test_no_sample_is_in_two_splits(name: str, protocol: Protocol, root: Path) -> None:
    found = loaded(name, root, protocol)
    assert found.origin == "miniature"
    parts = {split: contents(found.splits[split]) for split in found.splits}
    assert all(len(parts[split]) == len(found.splits[split].inputs) for split in parts)
    assert not parts["test"] & (parts["train"] | parts["val"])
    assert not parts["train"] & parts["val"]


@pytest.mark.parametrize("name, protocol", UNDER)
def test_splits_are_the_same_each_time(
    name: str, protocol: Protocol, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = loaded(name, root, protocol)
    monkeypatch.setenv("XMFT_CACHE", str(tmp_path / "another"))
    second = loaded(name, root, protocol)
    assert first.fingerprint == second.fingerprint
    for split in first.splits:
        for part in ("inputs", "targets"):
            one, other = (getattr(each.splits[split], part) for each in (first, second))
            if isinstance(one, Ragged):
                np.testing.assert_array_equal(one.offsets, other.offsets)
                one, other = one.values, other.values
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", TASKS)
def test_the_axes_that_plans_know_are_those_of_the_data(name: str, root: Path) -> None:
    inputs, _ = shapes_of(loaded(name, root))
    assert len(inputs) - 1 == catalog.get(name).axes


@pytest.mark.parametrize("name", TASKS)
def test_rows_are_scored_without_augmentation(name: str, root: Path) -> None:
    import torch

    found = loaded(name, root)
    samples = samples_of(found, torch.device("cpu"))["train"]
    rows = np.arange(min(16, len(samples)))
    again = [samples.take(rows).inputs for _ in range(2)]
    assert torch.equal(*again) and torch.isfinite(again[0]).all()
    epochs = [samples.take(rows, Draw(seed=0, stage="fitting", epoch=e)).inputs for e in (0, 1, 0)]
    assert torch.equal(epochs[0], epochs[2])
    windows = found.train.windows
    if found.augment is not None or (windows is not None and windows.random):
        assert not torch.equal(epochs[0], epochs[1])


@pytest.mark.parametrize("name", TASKS)
def test_every_file_of_a_miniature_is_verified(name: str, root: Path) -> None:
    lines = data.verify(name, data_root=make_miniatures([name], root))
    assert any("miniature" in line for line in lines)


@pytest.mark.parametrize("name, protocol", UNDER)
def test_a_pretrained_text_encoder_trains_on_it(name: str, protocol: Protocol, root: Path) -> None:
    found = loaded(name, root, protocol)
    trained = train(found, "nft", backbone="minilm", recipe=TINY)
    scores = trained.scores
    main = found.task.metrics[0]
    assert main in scores and np.isfinite(list(scores.values())).all()
    assert set(scores) <= set(found.task.metrics) and METRICS[main].direction == "min"


@pytest.mark.parametrize("name", TASKS)
def test_fewer_samples_may_be_asked_for(name: str, root: Path) -> None:
    whole = loaded(name, root)
    counts = {split: len(part.inputs) for split, part in whole.splits.items()}
    fewer = max(10, sum(counts.values()) // 2)
    capped = loaded(name, root, recipe=Recipe(samples=fewer))
    held = {split: len(part.inputs) for split, part in capped.splits.items()}
    assert all(1 <= held[split] <= counts[split] for split in held)
    assert sum(held.values()) <= fewer
    assert capped.fingerprint != whole.fingerprint
