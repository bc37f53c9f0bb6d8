from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from xmft.alignment.otdd import SourceClasses, otdd
from xmft.backbones import Backbone, load_backbone
from xmft.errors import DataError, RequestError
from xmft.source import PROXIES, Proxy, SourceConfig, SourceSamples, stdlib_docs
from xmft.source import artefacts as sources
from xmft.source.artefacts import Source
from xmft.source.predictor import PredictorConfig

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
        return Source(proxy, backbone, config, tmp_path, tmp_path)

    return source


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Register a proxy called `toy` of given samples, for one test."""

    def registered(inputs: Tensor, labels: list[int], *, classes: int = 10) -> None:
        made = SourceSamples(
            inputs=inputs, labels=torch.tensor(labels), classes=classes, fingerprint="toy"
        )
        proxy = Proxy(
            modality="text" if inputs.ndim == 2 else "vision",
            classes=classes,
            title="a toy",
            identity=lambda _: "1",
            samples=lambda *_: made,
        )
        monkeypatch.setitem(PROXIES._entries, "toy", proxy)  # type: ignore[attr-defined]

    return registered


def test_features_are_means_of_the_pretrained_embedding(make: Make, backbone: Backbone) -> None:
    found = make().features(CPU)
    assert found.pooled.shape == (64, 32) and found.labels.shape == (64,)
    assert found.classes == 10 and set(found.labels.tolist()) <= set(range(10))
    samples = PROXIES["stdlib-docs"].samples(backbone, SMALL, Path())
    assert samples.inputs.shape == (64, 8)
    with torch.no_grad():
        expected = backbone.embed_source(samples.inputs).mean(dim=1)
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


def test_a_second_start_reads_no_text(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = make().samples()
    monkeypatch.setattr(stdlib_docs, "stdlib_passages", fail)
    again = make()
    assert torch.equal(again.samples().inputs, first.inputs)
    assert again.samples().fingerprint == first.fingerprint
    # From the disk too, as another process would.
    sources._read.cache_clear()
    assert torch.equal(make().samples().labels, first.labels)
    # Features and predictor take the samples from there.
    assert torch.equal(make().features(CPU).labels, first.labels)
    make().predictor(QUICK, CPU)
    assert len(list(tmp_path.rglob("samples-*.pt"))) == 1


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


def test_images_under_a_vision_encoder(make: Make) -> None:
    vision = load_backbone("tiny-swin")
    source = make("procedural-images", vision)
    found, images = source.features(CPU), source.samples().inputs
    assert found.pooled.shape == (64, vision.width) and found.classes == 10
    assert images.dtype == torch.uint8
    with torch.no_grad():
        one = vision.embed_source(images[5:6]).mean(dim=1)[0]
    torch.testing.assert_close(found.pooled[5], one)
    predictor = source.predictor(QUICK, CPU)
    assert vision.encoded_width != vision.width
    assert predictor.weight.shape == (10, vision.encoded_width)


def test_a_predictor_of_images_learns(make: Make, register: Callable[..., None]) -> None:
    """Three classes of colours."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    images = torch.randint(0, 60, (240, 3, 32, 32), generator=rng, dtype=torch.uint8)
    images[torch.arange(240), labels] += 150
    register(images, labels.tolist(), classes=3)
    config = PredictorConfig(plain_steps=100, bounded_steps=2, learning_rate=1e-2)
    found = make("toy", load_backbone("tiny-swin")).predictor(config, CPU)
    assert found.accuracy > 0.9
    assert 0 < found.gradient_norm < 10 and 0 <= found.violations <= 1


@pytest.mark.parametrize(
    ("proxy", "name", "fitting"),
    [
        ("stdlib-docs", "tiny-swin", "one of: cifar10, procedural-images"),
        ("procedural-images", "tiny-sequence", "one of: conll2003, stdlib-docs"),
    ],
)
def test_a_proxy_of_another_modality_is_refused(
    proxy: str, name: str, fitting: str, make: Make
) -> None:
    with pytest.raises(RequestError, match=rf"'{proxy}' is for .* '{name}' is a .* {fitting}"):
        make(proxy, load_backbone(name)).features(CPU)


def test_lone_samples_and_labels_with_gaps_will_do(
    make: Make, register: Callable[..., None]
) -> None:
    ids = torch.randint(0, 100, (40, 8), generator=torch.Generator().manual_seed(0))
    register(ids, [2] + [3] * 20 + [7] * 19)
    source = make("toy")
    features = source.features(CPU)
    assert source.predictor(QUICK, CPU).weight.shape == (10, 32)
    target = features.pooled[:6] + 1
    distance = otdd(
        SourceClasses(features.pooled, features.labels), target, torch.tensor([0, 1, 1, 1, 1, 1])
    )
    assert torch.isfinite(distance) and distance > 0


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        ([0] * 20 + [10] * 20, r"labels \[0, 10\].*0\.\.9"),
        ([-1] * 20 + [1] * 20, r"labels \[-1, 1\]"),
        ([4] * 40, r"labels \[4\]; needed are two or more"),
        ([0, 1] * 5, "gave 10 samples; at least 16"),
    ],
)
def test_samples_that_are_of_no_use_are_refused(
    labels: list[int], wanted: str, make: Make, register: Callable[..., None]
) -> None:
    register(torch.zeros(len(labels), 8, dtype=torch.int64), labels)
    with pytest.raises(DataError, match=wanted):
        make("toy").features(CPU)


@pytest.fixture
def samples() -> SourceSamples:
    """Three classes, each of words of its own."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 3
    ids = 10 + 20 * labels[:, None] + torch.randint(20, (240, 6), generator=rng)
    return SourceSamples(inputs=ids, labels=labels, classes=3, fingerprint="toy")
