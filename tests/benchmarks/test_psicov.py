"""Proteins: files, squares of pairs, distances scored with each protein's own length."""

from __future__ import annotations

import math
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
from xmft.errors import RequestError
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
    assert windows is not None and len(windows) == 1 + 1 + 4 + 1
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
            neighbour = [float(distances[i, k]) for k in (i - 1, i + 1) if 0 <= k < length]
            expected = np.mean(np.maximum(neighbour, 1)) if i == j else max(distances[i, j], 1)
            # The mean of two numbers may need a digit more than half precision has.
            assert target.item() == pytest.approx(expected, rel=5e-4 if i == j else 0)
            assert weight.item() == 1


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


def loop(root: Path, public: bool = False, block: int = 512, proteins: int = 3) -> float:
    """The score in float64, pair by pair; `proteins` of the four have any."""
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
            for j in range(i + 24, min(length, block)):
                if max(distances[i, j], 1) <= 8:
                    mean = max((guess[i][j] + guess[j][i]) / 2, 0.01)
                    if public:
                        mean = (mean + max(guess[j][i], 0.01)) / 2
                    errors.append(abs(mean - max(float(distances[i, j]), 1)))
        if errors:
            each.append(sum(errors) / len(errors))
    assert len(each) == proteins
    return sum(each) / len(each)


def test_the_score_is_that_of_a_loop_over_pairs(root: Path) -> None:
    found = task_data.load(NAME, data_root=root.parent, protocol="released")
    samples = Samples(found.test, CPU, decode=found.decode)
    metrics = [METRICS[name] for name in found.task.metrics]
    scores = evaluate(Guess(), samples, metrics, Session(), pool=found.task.pool)
    assert scores["mae8"] == pytest.approx(loop(root), rel=1e-5)
    assert scores["mae8_public"] == pytest.approx(loop(root, public=True), rel=1e-5)
    first = loop(root, public=True, block=90)
    assert scores["mae8_first_length"] == pytest.approx(first, rel=1e-5)
    assert abs(scores["mae8"] - scores["mae8_public"]) > 0.01
    assert abs(scores["mae8_first_length"] - scores["mae8_public"]) > 0.001


def test_the_first_protein_of_the_list_decides_what_public_code_scores(root: Path) -> None:
    table = root / "psicov.lst"
    names = table.read_text().split()
    lengths = [len(features_of(root, "psicov", name)[0]["seq"]) for name in names]
    metric = METRICS["mae8_first_length"]

    def scores(order: list[int], batch: int = 256) -> dict[str, float]:
        table.write_text("\n".join(names[number] for number in order))
        found = task_data.load(NAME, data_root=root.parent, protocol="released")
        samples = Samples(found.test, CPU, decode=found.decode)
        both = [METRICS["mae8_public"], metric]
        return evaluate(Guess(), samples, both, Session(), pool=found.task.pool)

    # Of the longest all of each is scored, of the shortest nothing is.
    assert lengths[:3] == [90, 20, 150]
    long = scores([2, 0, 1, 3])
    assert long["mae8_first_length"] == pytest.approx(long["mae8_public"], rel=1e-9)
    assert set(scores([1, 0, 2, 3])) == {"mae8_public"}
    proteins = sum(
        bool(close(features_of(root, "psicov", name)[1][: lengths[3], : lengths[3]]))
        for name in names
    )
    last = scores([3, 0, 1, 2])["mae8_first_length"]
    assert last == pytest.approx(loop(root, public=True, block=lengths[3], proteins=proteins))


def close(distances: np.ndarray[Any, Any]) -> int:
    apart = np.arange(len(distances)) - np.arange(len(distances))[:, None] >= 24
    return int((apart & (distances <= 8)).sum())


def test_residues_beyond_the_public_canvas_are_not_scored_by_it() -> None:
    # As long as the canvas, both scores are the same; of a longer protein the rest is left out.
    rng = torch.Generator().manual_seed(0)
    for length in (512, 530):
        prediction, target = 16 * torch.rand(2, 2, 1, length, length, generator=rng)
        whole, leading = (
            METRICS["mae8_public"].score(prediction[..., :side, :side], target[..., :side, :side])
            for side in (length, 512)
        )
        assert METRICS["mae8_first_length"].score(prediction, target) == pytest.approx(leading)
        assert (whole == pytest.approx(leading)) == (length == 512)


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


@pytest.mark.parametrize("shape", [(2, 1, 30), (2, 1, 30, 40)])
@pytest.mark.parametrize("name", ["mae8", "mae8_public", "mae8_first_length"])
def test_distances_are_scored_on_squares(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(RequestError, match="scored on squares, but the predictions have the shape"):
        METRICS[name].score(torch.zeros(shape), torch.zeros(shape))


def test_training_clips_distances_at_sixteen() -> None:
    target, prediction = torch.tensor([[[[4.0, 60.0]]]]), torch.tensor([[[[6.0, 13.0]]]])
    assert LOSSES["mse_to_16"](prediction, target).item() == (4 + 9) / 2
    weights = torch.tensor([[[[1.0, 0.0]]]])
    assert LOSSES["mse_to_16"](prediction, target, weights).item() == 4
    # Public code counts what is beyond the end of a protein as 16 away.
    beyond = torch.tensor([[[[4.0, 0.0]]]])
    everywhere = LOSSES["mse_to_16_everywhere"]
    assert everywhere(prediction, beyond, weights).item() == (4 + 9) / 2
    assert everywhere(prediction, target).item() == (4 + 9) / 2


def test_the_mean_square_is_scored_on_proteins(root: Path) -> None:
    found = task_data.load(NAME, data_root=root.parent)
    assert math.isfinite(train(found, "mean", recipe=Recipe(epochs=1)).scores["mae8"])
