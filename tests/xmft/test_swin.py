import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    SwinConfig,
    SwinForImageClassification,
    SwinForMaskedImageModeling,
    SwinModel,
)

from tests.xmft.small_fields import field_data
from xmft.alignment.lipschitz import gradient_norms
from xmft.backbones import VisionBackbone, load_backbone
from xmft.backbones.weights import weights_fingerprint
from xmft.errors import RequestError
from xmft.heads import ClassHead
from xmft.model import CrossModalModel
from xmft.task import Recipe

# Shifted windows in the first stage, one window in the second.
SMALL = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 8,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
    "encoder_stride": 8,
}
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
SPREAD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]


def save(folder: Path, kind: Any = SwinModel, **changes: Any) -> Any:
    """Save a Swin whose weights are all away from their start; return it."""
    torch.manual_seed(0)
    model = kind(SwinConfig(**SMALL | changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def images(count: int = 2, *size: int) -> Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(0, 256, (count, 3, *size), dtype=np.uint8))


def load(name: str | Path, **options: Any) -> VisionBackbone:
    backbone = load_backbone(str(name), **options)
    assert isinstance(backbone, VisionBackbone)
    return backbone


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize(
    "kind", [SwinModel, SwinForImageClassification, SwinForMaskedImageModeling]
)
def test_a_saved_folder_gives_the_features_of_its_model(
    kind: Any, absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = save(tmp_path / "swin", kind, use_absolute_embeddings=absolute)
    swin = model if kind is SwinModel else model.swin
    backbone = load(tmp_path / "swin")
    assert (backbone.width, backbone.encoded_width, backbone.layers) == (8, 16, 4)
    pixels = images(3, 32, 32)
    with torch.no_grad():
        tokens = backbone.embed_source(pixels)
        expected = swin((pixels / 255 - MEAN) / SPREAD).last_hidden_state
        encoded = backbone.encoder.eval()(tokens)
    assert (tokens.shape, encoded.shape) == ((3, 64, 8), (3, 16, 16))
    torch.testing.assert_close(encoded, expected, rtol=1e-4, atol=1e-5)
    assert backbone.fingerprint == weights_fingerprint(str(tmp_path / "swin"))


def test_the_target_embedder_starts_as_the_pretrained_one(tmp_path: Path) -> None:
    model = save(tmp_path / "swin", use_absolute_embeddings=True)
    backbone = load(tmp_path / "swin")
    embedder = backbone.target_embedder((3, 32, 32), Recipe(amplitude=False, max_tokens=8))
    assert (embedder.tokens, embedder.side) == (64, 4)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(embedder(x), model.embeddings(x)[0])
    # A copy, of which every parameter learns.
    assert all(p.requires_grad for p in embedder.parameters())
    with torch.no_grad():
        for parameter in embedder.parameters():
            parameter.zero_()
    assert all(p.any() for p in backbone.source_embedder.parameters())


def test_the_published_dense_model_is_the_masked_image_decoder(tmp_path: Path) -> None:
    model = save(tmp_path / "swin", SwinForMaskedImageModeling)
    backbone = load(tmp_path / "swin")
    embedder = backbone.target_embedder((3, 20, 20), Recipe(amplitude=False))
    head = backbone.dense_head(embedder, (1, 20, 20), kind="published")
    decoder = model.decoder[0]
    with torch.no_grad():
        head.draw.project.weight.copy_(decoder.weight[:, :, 0, 0])
        head.draw.project.bias.copy_(decoder.bias)
        x = torch.randn(2, 3, 20, 20)
        output = head(backbone.encoder.eval()(embedder(x)))
        image = functional.interpolate(x, (32, 32), mode="bilinear")
        expected = model(image).reconstruction.mean(dim=1, keepdim=True)
    expected = functional.adaptive_avg_pool2d(expected, 20)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_a_classifier_is_that_of_the_library(tmp_path: Path) -> None:
    model = save(tmp_path / "swin", SwinForImageClassification, num_labels=5)
    backbone = load(tmp_path / "swin")
    head = ClassHead(backbone.encoded_width, 5)
    head.project.load_state_dict(model.classifier.state_dict())
    x = torch.randn(2, 3, 32, 32)
    embedder = backbone.target_embedder((3, 32, 32), Recipe(amplitude=False, max_tokens=1))
    logits = head(backbone.encoder.eval()(embedder(x)))
    torch.testing.assert_close(logits, model(x).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(32, 32), (20, 45), (64, 64)])
def test_images_of_any_size_are_resized(size: tuple[int, int]) -> None:
    backbone = load("tiny-swin")
    pixels = images(2, *size)
    tokens = backbone.embed_source(pixels)
    assert tokens.shape == (2, 64, 16) and not tokens.requires_grad
    # One colour stays one colour, whatever the size.
    grey = torch.full((1, 3, *size), 90, dtype=torch.uint8)
    torch.testing.assert_close(
        backbone.embed_source(grey), backbone.embed_source(grey[:, :, :1, :1].repeat(1, 1, 32, 32))
    )


def test_random_depth_stays_and_dropout_goes(tmp_path: Path) -> None:
    save(
        tmp_path / "swin",
        hidden_dropout_prob=0.3,
        attention_probs_dropout_prob=0.3,
        drop_path_rate=0.5,
    )
    encoder = load(tmp_path / "swin").encoder.train()
    tokens = torch.randn(4, 64, 8)
    torch.manual_seed(0)
    assert not torch.equal(encoder(tokens), encoder(tokens))
    rates = []
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            assert module.p == 0
        elif hasattr(module, "drop_prob"):
            rates.append(module.drop_prob)
            module.drop_prob = 0.0
    assert max(rates) == 0.5
    assert torch.equal(encoder(tokens), encoder(tokens))
    assert torch.equal(encoder.eval()(tokens), encoder.train()(tokens))


def test_attention_is_the_fused_one() -> None:
    for name in ("tiny-swin", "tiny-sequence"):
        body: Any = load_backbone(name).encoder.body
        assert body.config._attn_implementation == "sdpa"


def test_gradient_norms_can_be_differentiated() -> None:
    torch.manual_seed(0)
    backbone = load("tiny-swin")
    encoder = backbone.encoder.eval().requires_grad_(False).double()
    head = nn.Linear(backbone.encoded_width, 3).double()
    u = 0.1 * torch.randn(2, 64, 16, dtype=torch.float64)
    labels = torch.tensor([0, 2])

    def norms(*, create_graph: bool) -> Tensor:
        def losses(u: Tensor) -> Tensor:
            logits = head(encoder(u).mean(dim=1))
            return functional.cross_entropy(logits, labels, reduction="none")

        return gradient_norms(losses, u, create_graph=create_graph)

    (gradient,) = torch.autograd.grad(norms(create_graph=True).sum(), head.weight)
    direction, step = torch.randn_like(head.weight), 1e-5
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            head.weight.add_(sign * step * direction)
        values.append(norms(create_graph=False).sum().item())
        with torch.no_grad():
            head.weight.sub_(sign * step * direction)
    expected = (values[0] - values[1]) / (2 * step)
    assert (gradient * direction).sum().item() == pytest.approx(expected, rel=1e-5)


def test_random_weights_are_drawn_by_the_seed(tmp_path: Path) -> None:
    save(tmp_path / "swin")
    folder = tmp_path / "swin"
    known, drawn, again, other = (
        load(folder),
        load(folder, pretrained=False, seed=1),
        load(folder, pretrained=False, seed=1),
        load(folder, pretrained=False, seed=2),
    )
    assert drawn.fingerprint == f"{known.fingerprint}-random-1"
    for part in ("encoder", "source_embedder"):
        states = [getattr(b, part).state_dict() for b in (known, drawn, again, other)]
        for key, value in states[1].items():
            assert not torch.equal(value, states[0][key]), key
            assert torch.equal(value, states[2][key]), key
            if value.ndim > 1 and "bias_table" not in key:
                assert not torch.equal(value, states[3][key]), key
                assert 0.5 * 0.02 < value.std() < 2 * 0.02, key
    # The target embedder starts from that draw as well.
    embedder = drawn.target_embedder((3, 32, 32), Recipe(amplitude=False))
    assert torch.equal(
        embedder.project.weight, drawn.source_embedder.patch_embeddings.projection.weight
    )


@pytest.mark.parametrize("kind", ["learned", "published"])
@pytest.mark.parametrize("channels, outputs, grid", [(1, 4, (17, 17)), (5, 1, (40, 24))])
def test_a_dense_model_learns_in_all_its_parts(
    channels: int, outputs: int, grid: tuple[int, int], kind: Any
) -> None:
    torch.manual_seed(0)
    data = field_data(channels, grid, outputs)
    recipe = Recipe(amplitude=False, dense_head=kind)
    model = CrossModalModel(load("tiny-swin"), data, recipe).eval()
    assert {name for name, _ in model.named_children()} == {"embedder", "encoder", "head"}
    inputs, targets = torch.from_numpy(data.train.inputs), torch.from_numpy(data.train.targets)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        loss = functional.mse_loss(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    # The softmax does not see a bias of the keys, which is the same for all of them.
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any() or "k_proj.bias" in name, name


def test_fields_of_one_axis_are_refused() -> None:
    with pytest.raises(RequestError, match=r"'tiny-swin' reads images.*one axis.*minilm"):
        CrossModalModel(load("tiny-swin"), field_data(2, (16,)), Recipe(amplitude=False))


def test_stages_cannot_be_cut() -> None:
    with pytest.raises(RequestError, match=r"layers=1, but backbone 'tiny-swin' is a Swin"):
        load_backbone("tiny-swin", layers=1)


@pytest.mark.parametrize("changes", [{"image_size": 36}, {"num_channels": 1}])
def test_images_that_cannot_be_used_are_refused(changes: dict[str, int], tmp_path: Path) -> None:
    save(tmp_path / "swin", **changes)
    with pytest.raises(RequestError, match="three channels on a grid that its patches and stages"):
        load_backbone(str(tmp_path / "swin"))


def test_two_loads_share_nothing_that_trains() -> None:
    first, second = load("tiny-swin"), load("tiny-swin")
    kept = copy.deepcopy(second.encoder.state_dict())
    with torch.no_grad():
        for parameter in (*first.encoder.parameters(), *first.source_embedder.parameters()):
            parameter.add_(1)
    assert all(torch.equal(v, kept[k]) for k, v in second.encoder.state_dict().items())
    assert not torch.equal(first.norm.weight, second.norm.weight)
