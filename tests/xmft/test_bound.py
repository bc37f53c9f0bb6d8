import math

import numpy as np
import ot
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from xmft.alignment import lipschitz
from xmft.methods.bound import Bound
from xmft.metrics import LOSSES
from xmft.samples import Samples
from xmft.source.artefacts import SourceFeatures
from xmft.source.predictor import SourcePredictor
from xmft.task import Split


class Pieces(nn.Module):
    """A model of two tokens whose encoder is linear."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Linear(4, 5)
        self.classes = nn.Linear(5, 3)

    def embed(self, inputs: Tensor, base: Tensor | None = None) -> Tensor:
        return inputs.reshape(len(inputs), 2, 4)

    def head(self, encoded: Tensor) -> Tensor:
        logits: Tensor = self.classes(encoded.mean(dim=1))
        return logits

    def decode(self, encoded: Tensor, inputs: Tensor, base: Tensor | None = None) -> Tensor:
        return self.head(encoded)

    def training_base(self, rows: np.ndarray) -> None:
        return None


def made(count: int, threshold: float = 0.4) -> tuple[Bound, Pieces, Split, SourceFeatures]:
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    train = Split(inputs=rng.standard_normal((count, 1, 8)).astype(np.float32), targets=labels)
    source = torch.from_numpy(rng.standard_normal((40, 4)).astype(np.float32))
    features = SourceFeatures(pooled=source, labels=torch.arange(40) % 6, classes=6)
    weight = torch.from_numpy(rng.standard_normal((6, 5)).astype(np.float32))
    bound = Bound(
        features=features,
        predictor=SourcePredictor(
            weight=weight,
            bias=torch.zeros(6),
            accuracy=0.5,
            gradient_norm=0.1,
            violations=0.25,
        ),
        threshold=threshold,
        train=Samples(train, torch.device("cpu")),
        classes=labels,
        shares=torch.ones(3) / 3,
        loss=LOSSES["cross_entropy"],
        device=torch.device("cpu"),
    )
    return bound, Pieces(), train, features


def test_terms_match_their_definitions() -> None:
    bound, model, train, features = made(30)
    found = bound.measure(model)  # type: ignore[arg-type]
    inputs, labels = torch.from_numpy(train.inputs), torch.from_numpy(train.targets)
    with torch.no_grad():
        tokens = model.embed(inputs)
        gaps = torch.cdist(features.pooled, tokens.mean(dim=1)).double().numpy()
        encoded = model.encoder(tokens)
        loss = functional.cross_entropy(model.head(encoded), labels)
        probabilities = bound.logits(encoded).softmax(dim=1).double().numpy()
    assert found["w1"] == pytest.approx(ot.emd2([], [], gaps), rel=1e-5)
    assert found["w2"] == pytest.approx(math.sqrt(ot.emd2([], [], gaps**2)), rel=1e-5)
    assert found["target_fit"] == pytest.approx(loss.item(), rel=1e-5)
    joint = np.stack([probabilities[train.targets == k].mean(axis=0) / 3 for k in range(3)])

    def entropy(p: np.ndarray) -> float:
        return float(-(p * np.log(p)).sum())

    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    assert found["source_entropy"] == pytest.approx(entropy(columns), rel=1e-5)
    assert found["target_entropy"] == pytest.approx(entropy(rows), rel=1e-5)
    assert found["distortion"] == pytest.approx(entropy(joint) - entropy(columns), rel=1e-4)
    assert found["source_given_target"] == pytest.approx(entropy(joint) - entropy(rows), rel=1e-4)
    # No shuffle of the labels knows of the predictions, and few samples seem to.
    assert found["distortion"] <= found["distortion_chance"] < found["target_entropy"]
    excess = found["distortion_chance"] - found["distortion"]
    assert found["distortion_corrected"] == pytest.approx(found["target_entropy"] - excess)
    assert found["lipschitz_violations"] == 0.25
    assert found["source_accuracy"] == 0.5 and found["source_gradient_norm"] == 0.1


def test_target_violations_count_gradients_over_the_threshold() -> None:
    model, (bound, _, train, _) = Pieces(), made(80)
    norms = []
    for sample in torch.from_numpy(train.inputs[::8]):
        u = model.embed(sample[None]).requires_grad_()
        logits = bound.logits(model.encoder(u))
        functional.cross_entropy(logits, logits.argmax(dim=1)).backward()
        norms.append(u.grad.norm().item())
    middle = float(np.median(norms))
    for threshold, share in ((1e-6, 1.0), (middle, 0.5), (1e6, 0.0)):
        found = made(80, threshold)[0].measure(model)  # type: ignore[arg-type]
        assert found["target_violations"] == share


def test_gradients_are_taken_of_as_many_samples_as_memory_is_set_aside_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bound, model, *_ = made(80)
    expected = bound.measure(model)  # type: ignore[arg-type]
    sizes: list[int] = []
    model.encoder.register_forward_pre_hook(
        lambda _, inputs: sizes.append(len(inputs[0])) if inputs[0].requires_grad else None
    )
    monkeypatch.setattr(lipschitz, "_GRADIENT_VALUES", 3 * 2 * 4 + 1)
    found = bound.measure(model)  # type: ignore[arg-type]
    assert sizes == [3, 3, 3, 1]
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_probe_is_the_same_each_time_and_bounded() -> None:
    found = [made(600)[0].measure(Pieces()) for _ in range(2)]  # type: ignore[arg-type]
    assert found[0] == found[1]
    assert found[0]["w2"] != made(30)[0].measure(Pieces())["w2"]  # type: ignore[arg-type]


def test_the_floor_of_w2_is_that_of_two_samples_of_the_source() -> None:
    bound, model, _, features = made(30)
    found = bound.measure(model)["w2_source"]  # type: ignore[arg-type]
    # Of 40 source samples at most half is compared with the rest, whichever it is.
    rng = np.random.default_rng(1)
    drawn = []
    for _ in range(50):
        order = rng.permutation(40)
        one, other = features.pooled[order[:20]], features.pooled[order[20:]]
        gaps = torch.cdist(one, other).double().numpy()
        drawn.append(math.sqrt(ot.emd2([], [], gaps**2)))
    assert min(drawn) < found < max(drawn)
