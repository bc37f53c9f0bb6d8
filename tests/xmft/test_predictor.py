import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from xmft.alignment import lipschitz
from xmft.backbones import Backbone, load_backbone
from xmft.source import SourceSamples
from xmft.source.predictor import PredictorConfig, SourcePredictor, train_predictor

CPU = torch.device("cpu")

QUICK = PredictorConfig(plain_steps=6, bounded_steps=1)


@pytest.fixture
def backbone() -> Backbone:
    return load_backbone("tiny-sequence")


@pytest.fixture
def samples() -> SourceSamples:
    """Three classes, each of words of its own."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    ids = 10 + 20 * labels[:, None] + torch.randint(20, (240, 6), generator=rng)
    return SourceSamples(inputs=ids, labels=labels, classes=3, fingerprint="toy")


def mean_norm(backbone: Backbone, samples: SourceSamples, predictor: SourcePredictor) -> float:
    """Mean norm of the gradient in the features of each sequence, one sequence at a time."""
    total = 0.0
    for ids, label in zip(samples.inputs[:40], samples.labels[:40], strict=True):
        u = backbone.embed_source(ids[None]).detach().requires_grad_()
        logits = functional.linear(
            backbone.encoder(u).mean(dim=1), predictor.weight, predictor.bias
        )
        (gradient,) = torch.autograd.grad(functional.cross_entropy(logits, label[None]), u)
        total += gradient.norm().item()
    return total / 40


def test_the_penalty_bounds_the_gradient(backbone: Backbone, samples: SourceSamples) -> None:
    # Few plain steps: a head with large weights may lower its gradients by growing further.
    plain = PredictorConfig(plain_steps=10, bounded_steps=0, learning_rate=1e-2)
    free = train_predictor(backbone, samples, plain, CPU)
    bounded = train_predictor(
        backbone,
        samples,
        plain.model_copy(update={"bounded_steps": 10, "threshold": 0.3 * free.gradient_norm}),
        CPU,
    )
    assert bounded.gradient_norm < 0.8 * free.gradient_norm
    before, after = (mean_norm(backbone, samples, p) for p in (free, bounded))
    assert after < 0.8 * before
    # What is reported is held out, so it agrees with other samples as means do.
    assert free.gradient_norm == pytest.approx(before, rel=0.3)


def test_gradients_in_parts_are_those_of_the_batch(
    backbone: Backbone, samples: SourceSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PredictorConfig(plain_steps=2, bounded_steps=3, threshold=0.01)
    whole = train_predictor(backbone, samples, config, CPU)
    # Sequences of 6 x 32 values: five at a time, so that the last part is a short one.
    monkeypatch.setattr(lipschitz, "_GRADIENT_VALUES", 5 * 6 * 32)
    parts = train_predictor(backbone, samples, config, CPU)
    torch.testing.assert_close(parts.weight, whole.weight, rtol=1e-4, atol=1e-6)
    assert parts.gradient_norm == pytest.approx(whole.gradient_norm, rel=1e-4)


def test_the_predictor_learns(backbone: Backbone, samples: SourceSamples) -> None:
    config = PredictorConfig(plain_steps=200, bounded_steps=0, learning_rate=1e-2)
    found = train_predictor(backbone, samples, config, CPU)
    assert found.weight.shape == (3, 32) and found.bias.shape == (3,)
    assert found.accuracy > 0.7  # a guess is right in a third of the cases
    assert not found.weight.requires_grad and not found.bias.requires_grad


def test_the_share_of_violations_is_that_above_the_threshold(
    backbone: Backbone, samples: SourceSamples
) -> None:
    for threshold, share in ((1e-9, 1.0), (1e9, 0.0)):
        config = PredictorConfig(plain_steps=1, bounded_steps=0, threshold=threshold)
        assert train_predictor(backbone, samples, config, CPU).violations == share


def test_the_encoder_stays_as_it_was(backbone: Backbone, samples: SourceSamples) -> None:
    encoder = backbone.encoder
    frozen = next(encoder.parameters())
    frozen.requires_grad_(False)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    flags = [p.requires_grad for p in encoder.parameters()]
    train_predictor(backbone, samples, QUICK, CPU)
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert [p.requires_grad for p in encoder.parameters()] == flags
    assert flags.count(False) == 1
    assert all(p.grad is None for p in encoder.parameters())


def test_training_is_repeatable(backbone: Backbone, samples: SourceSamples) -> None:
    first = train_predictor(backbone, samples, QUICK, CPU)
    torch.rand(5)
    again = train_predictor(backbone, samples, QUICK, CPU)
    assert torch.equal(first.weight, again.weight) and torch.equal(first.bias, again.bias)


def test_the_rate_falls_as_a_cosine_from_epoch_to_epoch(
    backbone: Backbone, samples: SourceSamples, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []
    step = torch.optim.AdamW.step

    def noted(self: Any, *arguments: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    config = PredictorConfig(
        plain_steps=6, bounded_steps=6, batch_size=54, learning_rate=0.1, schedule="cosine"
    )
    train_predictor(backbone, samples, config, CPU)
    # 216 samples to learn from are 4 batches: three epochs of steps of both kinds.
    expected = [0.05 * (1 + math.cos(math.pi * (n // 4) / 3)) for n in range(12)]
    assert rates == pytest.approx(expected, rel=1e-6)
