"""Proteins: files, squares of pairs, distances scored with each protein's own length."""

from __future__ import annotations

import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks import data as task_data
from benchmarks.nasbench360 import protein_files
from benchmarks.nasbench360.miniatures import psicov as miniature
from xmft.errors import DataError
from xmft.evaluation import evaluate
from xmft.metrics import LOSSES, METRICS
from xmft.recipe import Recipe
from xmft.samples import Draw, Samples
from xmft.session import Session
from xmft.training import train

NAME = "nasbench360/psicov"
CPU = torch.device("cpu")


@pytest.fixture
def root(data_root: Path) -> Path:
    miniature.write(data_root / "protein")
    return data_root / "protein"


def features_of(root: Path, part: str, name: str) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    features = pickle.loads((root / part / "features" / f"{name}.pkl").read_bytes())
    distances = np.load(root / part / "distance" / f"{name}-cb.npy", allow_pickle=True)[2]
    return features, distances


def said(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        task_data.load(NAME, data_root=root.parent)
    return str(caught.value)


def by_hand(features: dict[str, Any], row: int, column: int) -> list[float]:
    """The 57 channels of one pair, in the order of the benchmark."""
    singles = [*features["ss"], *features["pssm"].T, features["sa"], features["entropy"]]
    channels = [track[place] for track in singles for place in (column, row)]
    return [*channels, *(features[name][row, column] for name in protein_files.MAPS)]


def test_channels_and_distances_of_a_square(root: Path) -> None:
    found = task_data.load(NAME, data_root=root.parent)
    samples = Samples(found.test, CPU, decode=found.decode)
    ids = (root / "psicov.lst").read_text().split()
    windows = found.test.windows
    assert windows is not None and len(windows) == 1 + 4 + 1 + 1
    for number, (sample, *starts) in enumerate(windows.table.tolist()):
        features, distances = features_of(root, "psicov", ids[sample])
        batch = samples.take(np.array([number]))
        assert batch.inputs.shape == (1, 57, 128, 128) and batch.weights is not None
        length = len(features["seq"])
        for row, column in ((0, 0), (5, 17), (17, 5), (100, 127), (127, 127)):
            i, j = starts[0] + row, starts[1] + column
            channels, target, weight = (
                part[0, :, row, column] for part in (batch.inputs, batch.targets, batch.weights)
            )
            if i >= length or j >= length:
                assert not channels.any() and not target.any() and not weight.any()
                continue
            np.testing.assert_allclose(channels, by_hand(features, i, j), rtol=1e-6)
            neighbour = [distances[i, k] for k in (i - 1, i + 1) if 0 <= k < length]
            expected = np.mean(np.maximum(neighbour, 1)) if i == j else max(distances[i, j], 1)
            assert target.item() == pytest.approx(expected, rel=1e-6) and weight.item() == 1


def test_squares_of_training_move_over_the_whole_protein(root: Path) -> None:
    found = task_data.load(NAME, data_root=root.parent)
    starts = []
    samples = Samples(found.train, CPU, decode=lambda p: starts.append(p.starts) or p)  # type: ignore
    long = int(np.argmax(found.train.windows.extents[:, 0]))  # type: ignore[union-attr]
    for epoch in range(200):
        samples.take(np.array([long]), Draw(seed=0, stage="fitting", epoch=epoch))
    every = torch.cat(starts).numpy()
    assert every.min() == 0 and every.max() == 150 - 128
    # Rows and columns are drawn apart.
    assert abs(np.corrcoef(every.T)[0, 1]) < 0.3


class Guess(nn.Module):
    """Some function of the square's channels that is not symmetric."""

    def forward(self, x: Tensor) -> Tensor:
        return 8 + 3 * x[:, 50:51] - 6 * x[:, 54:55] + x[:, 1:2]


def loop(root: Path, public: bool) -> float:
    """The score in float64, pair by pair."""
    each = []
    for name in (root / "psicov.lst").read_text().split():
        features, distances = features_of(root, "psicov", name)
        length, errors = len(features["seq"]), []
        guess = [
            [
                8 + 3 * c[50] - 6 * c[54] + c[1]
                for c in ([float(v) for v in by_hand(features, i, j)] for j in range(length))
            ]
            for i in range(length)
        ]
        for i in range(length):
            for j in range(i + 24, length):
                if max(distances[i, j], 1) <= 8:
                    mean = max((guess[i][j] + guess[j][i]) / 2, 0.01)
                    if public:
                        mean = (mean + max(guess[j][i], 0.01)) / 2
                    errors.append(abs(mean - max(float(distances[i, j]), 1)))
        if errors:
            each.append(sum(errors) / len(errors))
    assert len(each) == 3  # one of the four has no such pair
    return sum(each) / len(each)


def test_the_score_is_that_of_a_loop_over_pairs(root: Path) -> None:
    found = task_data.load(NAME, data_root=root.parent, protocol="released")
    samples = Samples(found.test, CPU, decode=found.decode)
    metrics = [METRICS[name] for name in found.task.metrics]
    scores = evaluate(Guess(), samples, metrics, Session(), pool=found.task.pool)
    assert scores["mae8"] == pytest.approx(loop(root, public=False), rel=1e-5)
    assert scores["mae8_public"] == pytest.approx(loop(root, public=True), rel=1e-5)
    assert abs(scores["mae8"] - scores["mae8_public"]) > 0.01


def test_pairs_at_the_bounds_count() -> None:
    target = torch.full((1, 1, 30, 30), 20.0)
    for row, column, distance in ((0, 24, 8.0), (1, 24, 3.0), (2, 27, 8.001), (3, 28, 6.0)):
        target[..., row, column] = target[..., column, row] = distance
    prediction = torch.zeros(1, 1, 30, 30)
    # 0.01 is the least that a distance is taken to be.
    expected = (8.0 - 0.01 + 6.0 - 0.01) / 2
    assert METRICS["mae8"].score(prediction, target) == pytest.approx(expected)
    weights = torch.ones_like(target)
    weights[..., 28] = 0
    assert METRICS["mae8"].score(prediction, target, weights) == pytest.approx(7.99)
    assert METRICS["mae8"].score(prediction, torch.full_like(target, 9.0)) is None


def test_training_clips_distances_at_sixteen() -> None:
    target, prediction = torch.tensor([[[[4.0, 60.0]]]]), torch.tensor([[[[6.0, 13.0]]]])
    assert LOSSES["mse_to_16"](prediction, target).item() == (4 + 9) / 2
    weights = torch.tensor([[[[1.0, 0.0]]]])
    assert LOSSES["mse_to_16"](prediction, target, weights).item() == 4


@pytest.mark.parametrize("method", ["fno", "unet", "mean", "scratch"])
def test_methods_learn_squares_and_are_scored_on_proteins(method: str, root: Path) -> None:
    found = task_data.load(NAME, data_root=root.parent)
    recipe = Recipe(epochs=2, batch_size=8, layers=1, max_tokens=64, learning_rate=1e-3)
    options = {"features": 4} if method == "unet" else {}
    trained = train(found, method, recipe=recipe, options=options)
    assert math.isfinite(trained.scores["mae8"])


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.place),)


def change(root: Path, tmp_path: Path, kind: str) -> None:
    """Spoil the first protein of the test."""
    name = (root / "psicov.lst").read_text().split()[0]
    features, distances = features_of(root, "psicov", name)
    length, sequence = len(features["seq"]), features["seq"]
    content: list[Any] = [length, sequence, distances]
    changes: dict[str, Any] = {
        "missing": lambda: features.pop("sa"),
        "shape": lambda: features.update(pssm=features["pssm"].T),
        "large": lambda: features["ccmpred"].__setitem__((3, 4), 101),
        "nan": lambda: features["entropy"].__setitem__(0, np.nan),
        "code": lambda: features.update(extra=Code(tmp_path / "mark")),
        "far": lambda: distances.__setitem__((1, 2), 501),
        "unknown": lambda: distances.__setitem__((1, 2), np.nan),
        "length": lambda: content.__setitem__(0, length + 1),
        "other": lambda: content.__setitem__(1, "A" + sequence[1:][::-1]),
        "runs": lambda: content.__setitem__(1, Code(tmp_path / "mark")),
    }
    changes[kind]()
    packed = np.empty(3, object)
    packed[:] = content
    (root / "psicov/features" / f"{name}.pkl").write_bytes(pickle.dumps(features))
    np.save(root / "psicov/distance" / f"{name}-cb.npy", packed, allow_pickle=True)


@pytest.mark.parametrize(
    "kind, message",
    [
        ("missing", "expected seq, ss, pssm, sa, entropy"),
        ("shape", "'pssm' has the shape (22, 20)"),
        ("large", "'ccmpred' holds 101, expected values within 100"),
        ("nan", "'entropy' holds nan"),
        ("code", "none of numpy's constructors"),
        ("far", "holds a distance of 501, expected at most 500 angstrom"),
        ("unknown", "holds a distance of nan"),
        ("length", "says 21 residues and holds distances of the shape (20, 20)"),
        ("other", "expected both of 1psiA"),
        ("runs", "none of numpy's constructors"),
    ],
)
def test_spoilt_proteins_are_told(kind: str, message: str, root: Path, tmp_path: Path) -> None:
    change(root, tmp_path, kind)
    assert message in said(root)
    assert not (tmp_path / "mark").exists()


def test_lists_and_files_must_agree(root: Path) -> None:
    table = root / "psicov.lst"
    names = table.read_text()
    table.write_text(names + "9xyzA\n")
    assert "names 9xyzA, of which there are no features" in said(root)
    table.write_text(names + names.split()[0])
    assert "names 1psiA twice" in said(root)
    table.write_text((root / "deepcov.lst").read_text())
    assert "names 14 proteins that" in said(root)
