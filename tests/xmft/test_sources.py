from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from xmft import sources
from xmft.backbones import Backbone, load_backbone
from xmft.errors import DataError, RequestError
from xmft.source_predictor import PredictorConfig, SourcePredictor, SourceSequences, train_predictor
from xmft.sources import Source, SourceConfig

CPU = torch.device("cpu")
SMALL = SourceConfig(samples=64, tokens=8)
QUICK = PredictorConfig(plain_steps=6, bounded_steps=1)


def fail(*_: Any, **__: Any) -> Any:
    raise AssertionError("computed again")


@pytest.fixture
def backbone() -> Backbone:
    return load_backbone("tiny-sequence")


Make = Callable[..., Source]


@pytest.fixture
def make(backbone: Backbone, tmp_path: Path) -> Make:
    def source(
        proxy: str = "stdlib-docs", backbone: Backbone = backbone, config: SourceConfig = SMALL
    ) -> Source:
        return Source(proxy, backbone, config, tmp_path)

    return source


def test_features_are_means_of_the_pretrained_embedding(make: Make, backbone: Backbone) -> None:
    found = make().features(CPU)
    assert found.pooled.shape == (64, 32) and found.labels.shape == (64,)
    assert found.classes == 10 and set(found.labels.tolist()) <= set(range(10))
    sequences = sources.PROXIES["stdlib-docs"].sequences(backbone, SMALL)
    assert sequences.ids.shape == (64, 8)
    with torch.no_grad():
        expected = backbone.embed_source(sequences.ids).mean(dim=1)
    torch.testing.assert_close(found.pooled, expected)
    # Features take part in autograd, which inference tensors may not.
    assert not found.pooled.is_inference()


def test_the_second_call_reads_the_cache(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first, predictor = make().features(CPU), make().predictor(QUICK, CPU)
    monkeypatch.setattr(Source, "_compute_features", fail)
    monkeypatch.setattr(sources, "train_predictor", fail)
    again = make()
    assert torch.equal(again.features(CPU).pooled, first.pooled)
    assert torch.equal(again.features(CPU).labels, first.labels)
    stored = again.predictor(QUICK, CPU)
    assert torch.equal(stored.weight, predictor.weight)
    assert (stored.accuracy, stored.gradient_norm) == (predictor.accuracy, predictor.gradient_norm)


def test_other_settings_are_computed_anew(
    make: Make, backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    make().features(CPU)
    make().predictor(QUICK, CPU)
    monkeypatch.setattr(Source, "_compute_features", fail)
    monkeypatch.setattr(sources, "train_predictor", fail)
    with pytest.raises(AssertionError, match="computed again"):
        make(config=SourceConfig(samples=65, tokens=8)).features(CPU)
    with pytest.raises(AssertionError, match="computed again"):
        make().predictor(QUICK.model_copy(update={"threshold": 0.1}), CPU)
    # Features do not depend on the layers kept, the predictor does.
    shallow = load_backbone("tiny-sequence", layers=1)
    make(backbone=shallow).features(CPU)
    with pytest.raises(AssertionError, match="computed again"):
        make(backbone=shallow).predictor(QUICK, CPU)


def test_a_computation_that_fails_leaves_no_artefact(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Source, "_compute_features", fail)
        with pytest.raises(AssertionError, match="computed again"):
            make().features(CPU)
    assert not list(tmp_path.rglob("*.pt"))
    assert make().features(CPU).pooled.shape == (64, 32)


def test_an_unknown_proxy_is_refused(make: Make) -> None:
    with pytest.raises(RequestError, match=r"Unknown source proxy 'stdlib-doc'.*'stdlib-docs'"):
        make("stdlib-doc").features(CPU)


def test_windows_longer_than_every_passage_are_refused(make: Make) -> None:
    with pytest.raises(DataError, match=r"gave 0 passages of 500 tokens.*source\.tokens"):
        make(config=SourceConfig(samples=64, tokens=500)).features(CPU)


# --- the predictor -----------------------------------------------------------------------------


@pytest.fixture
def sequences() -> SourceSequences:
    """Three classes, each of words of its own."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    ids = 10 + 20 * labels[:, None] + torch.randint(20, (240, 6), generator=rng)
    return SourceSequences(ids=ids, labels=labels, classes=3, fingerprint="toy")


def mean_norm(backbone: Backbone, sequences: SourceSequences, predictor: SourcePredictor) -> float:
    """Mean norm of the gradient in the features of each sequence, one sequence at a time."""
    total = 0.0
    for ids, label in zip(sequences.ids[:40], sequences.labels[:40], strict=True):
        u = backbone.embed_source(ids[None]).detach().requires_grad_()
        logits = functional.linear(
            backbone.encoder(u).mean(dim=1), predictor.weight, predictor.bias
        )
        (gradient,) = torch.autograd.grad(functional.cross_entropy(logits, label[None]), u)
        total += gradient.norm().item()
    return total / 40


def test_the_penalty_bounds_the_gradient(backbone: Backbone, sequences: SourceSequences) -> None:
    # Few plain steps: a head with large weights may lower its gradients by growing further.
    plain = PredictorConfig(plain_steps=10, bounded_steps=0, learning_rate=1e-2)
    free = train_predictor(backbone, sequences, plain, CPU)
    bounded = train_predictor(
        backbone,
        sequences,
        plain.model_copy(update={"bounded_steps": 10, "threshold": 0.3 * free.gradient_norm}),
        CPU,
    )
    assert bounded.gradient_norm < 0.8 * free.gradient_norm
    before, after = (mean_norm(backbone, sequences, p) for p in (free, bounded))
    assert after < 0.8 * before
    # What is reported is held out, so it agrees with other sequences as means do.
    assert free.gradient_norm == pytest.approx(before, rel=0.3)


def test_the_predictor_learns(backbone: Backbone, sequences: SourceSequences) -> None:
    config = PredictorConfig(plain_steps=200, bounded_steps=0, learning_rate=1e-2)
    found = train_predictor(backbone, sequences, config, CPU)
    assert found.weight.shape == (3, 32) and found.bias.shape == (3,)
    assert found.accuracy > 0.7  # a guess is right in a third of the cases
    assert not found.weight.requires_grad and not found.bias.requires_grad


def test_the_share_of_violations_is_that_above_the_threshold(
    backbone: Backbone, sequences: SourceSequences
) -> None:
    for threshold, share in ((1e-9, 1.0), (1e9, 0.0)):
        config = PredictorConfig(plain_steps=1, bounded_steps=0, threshold=threshold)
        assert train_predictor(backbone, sequences, config, CPU).violations == share


def test_the_encoder_stays_as_it_was(backbone: Backbone, sequences: SourceSequences) -> None:
    encoder = backbone.encoder
    frozen = next(encoder.parameters())
    frozen.requires_grad_(False)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    flags = [p.requires_grad for p in encoder.parameters()]
    train_predictor(backbone, sequences, QUICK, CPU)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert [p.requires_grad for p in encoder.parameters()] == flags
    assert flags.count(False) == 1
    assert all(p.grad is None for p in encoder.parameters())


def test_training_is_repeatable(backbone: Backbone, sequences: SourceSequences) -> None:
    first = train_predictor(backbone, sequences, QUICK, CPU)
    torch.rand(5)
    again = train_predictor(backbone, sequences, QUICK, CPU)
    assert torch.equal(first.weight, again.weight) and torch.equal(first.bias, again.bias)
