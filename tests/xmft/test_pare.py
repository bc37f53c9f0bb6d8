from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from xmft.backbones import load_backbone
from xmft.fit import fit
from xmft.methods import METHODS, Context
from xmft.records import FitResult
from xmft.session import Session
from xmft.source.artefacts import Source, SourceConfig
from xmft.source.tokens import SourceTokens
from xmft.stages import Batch, Stage
from xmft.task import Recipe, Split, TaskData

Train = Callable[..., tuple[Any, FitResult]]
Build = Callable[..., tuple[Any, list[Stage]]]
SOURCE = SourceConfig(samples=64, tokens=8)
COMMON = ("embedder", "encoder", "head")
EXTRA = ("gate", "source_head")


def state(model: Any, *parts: str) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items() if k.split(".")[0] in parts}


def context_of(backbone: str, proxy: str, data: TaskData, recipe: Recipe, cache: Path) -> Context:
    return Context(
        data=data,
        recipe=recipe,
        backbone=load_backbone(backbone),
        proxy=proxy,
        seed=0,
        device=torch.device("cpu"),
        cache=cache,
    )


def fit_in(context: Context) -> FitResult:
    method = METHODS["pare"](METHODS["pare"].Config(source=SOURCE))
    model, stages = method.model(context), method.stages(context)
    return fit(model, stages, context.data, context.recipe, Session(), seed=0)


@pytest.fixture
def plane_data(dense_data: TaskData) -> TaskData:
    """The dense toy spread over a second axis."""

    def plane(split: Split) -> Split:
        return Split(
            inputs=np.repeat(split.inputs[:16, :, None, :16], 16, axis=2),
            targets=np.repeat(split.targets[:16, :, None, :16], 16, axis=2),
        )

    return replace(
        dense_data,
        train=plane(dense_data.train),
        val=plane(dense_data.val),
        test=plane(dense_data.test),
    )


@pytest.fixture
def source(cache: Path) -> Source:
    return Source("stdlib-docs", load_backbone("tiny-sequence"), SOURCE, cache, Path())


def batch_of(data: TaskData, indices: list[int], *, step: int = 0, steps: int = 10) -> Batch:
    return Batch(
        inputs=torch.from_numpy(data.train.inputs[indices]),
        targets=torch.from_numpy(data.train.targets[indices]),
        classes=None,
        indices=np.array(indices),
        step=step,
        steps=steps,
        gather=lambda x: x,
    )


@pytest.mark.parametrize("kind", ["dense_data", "class_data"])
def test_without_replacement_it_is_naive_fine_tuning_bit_for_bit(
    kind: str, recipe: Recipe, train: Train, request: pytest.FixtureRequest
) -> None:
    data: TaskData = request.getfixturevalue(kind)
    plain, expected = train("nft", data, recipe)
    model, result = train("pare", data, recipe, begin_share=0.0, end_share=0.0)
    assert result.scores == expected.scores
    added = ("fitting/mixed", "fitting/replaced")
    assert [p for p in result.curves if p.name not in added] == list(expected.curves)
    assert {p.value for p in result.curves if p.name in added} == {0.0}
    ours, theirs = state(model, *COMMON), state(plain, *COMMON)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_common_parts_start_as_in_naive_fine_tuning(
    dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    (plain, _), (model, _) = build("nft", dense_data, recipe), build("pare", dense_data, recipe)
    theirs = state(plain, *COMMON)
    assert all(torch.equal(v, theirs[k]) for k, v in state(model, *COMMON).items())


def test_steps_without_a_token_to_replace_are_those_of_naive_fine_tuning(
    dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    plain, (naive,) = build("nft", dense_data, recipe)
    model, (stage,) = build("pare", dense_data, recipe)
    late = batch_of(dense_data, [3, 1, 8], step=9)  # int(8 * 0.1) is 0
    found = stage.objective(model.eval(), late)
    expected = naive.objective(plain.eval(), late)
    assert torch.equal(found["loss"], expected["loss"])
    assert not found["replaced"].any() and not found["mixed"].any()


@pytest.mark.parametrize("kind", ["dense_data", "class_data"])
def test_the_loss_is_that_of_target_and_mixture(
    kind: str, recipe: Recipe, build: Build, source: Source, request: pytest.FixtureRequest
) -> None:
    """With everything exchanged the mixture is a source sample, whichever it is."""
    data: TaskData = request.getfixturevalue(kind)
    model, (stage,) = build("pare", data, recipe, end_share=1.0, mix_weight=0.3)
    _, (naive,) = build("nft", data, recipe)
    model.eval()
    batch = batch_of(data, [4, 7, 30])
    found = stage.objective(model, batch)
    assert found["replaced"].tolist() == [1.0] * 3
    on_target = naive.objective(model, batch)["loss"]
    torch.testing.assert_close(found["loss"], on_target + 0.3 * found["mixed"])
    samples = source.samples()
    with torch.no_grad():
        logits = model.source_head(model.encoder(source._backbone.embed_source(samples.inputs)))
        losses = functional.cross_entropy(logits, samples.labels, reduction="none")
    assert ((found["mixed"][:, None] - losses).abs().amin(dim=1) < 1e-5).all()


def test_half_exchanged_halves_weigh_the_same(
    class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    """A target predictor that is sure of the label leaves half of the source's loss, log 10."""
    model, (stage,) = build("pare", class_data, recipe, begin_share=0.5, end_share=0.5)
    model.eval()
    with torch.no_grad():
        for head in (model.head, model.source_head):
            head.project.weight.zero_()
            head.project.bias.zero_()
        model.head.project.bias[0] = 50.0
    found = stage.objective(model, batch_of(class_data, [0, 3, 6]))  # labels 0, 0, 0
    expected = torch.full((3,), 0.5 * np.log(10), dtype=torch.float32)
    torch.testing.assert_close(found["mixed"], expected)
    torch.testing.assert_close(found["loss"], 0.1 * expected)


def test_the_share_falls_from_step_to_step(
    dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    """8 tokens of the target and 5 of the source: 5 can be exchanged, which is 5/8 of the mix."""
    short = {"samples": 64, "tokens": 5}
    model, (stage,) = build("pare", dense_data, recipe, source=short, end_share=0.2)
    shares = [
        stage.objective(model, batch_of(dense_data, [0, 1], step=step))["replaced"][0].item() * 8
        for step in range(10)
    ]
    # 5 (1 - 0.8 step / 10), rounded down.
    assert shares == [5, 4, 4, 3, 3, 3, 2, 2, 1, 1]


@pytest.mark.parametrize("step", [0, 5])
def test_a_sample_has_the_same_loss_in_every_batch(
    step: int, dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    """Neither workers nor micro-batches nor what was drawn before change pairs and noise."""
    model, (stage,) = build("pare", dense_data, recipe)
    model.eval()
    whole = stage.objective(model, batch_of(dense_data, [3, 1, 40, 8], step=step))["loss"]
    parts = [
        stage.objective(model, batch_of(dense_data, part, step=step))["loss"]
        for part in ([40, 3], [8], [1])
    ]
    torch.testing.assert_close(torch.cat(parts), whole[[2, 0, 3, 1]])
    other = stage.objective(model, batch_of(dense_data, [3, 1, 40, 8], step=step + 1))["loss"]
    assert not torch.allclose(other, whole)


def test_micro_batches_train_as_one(dense_data: TaskData, recipe: Recipe, train: Train) -> None:
    whole, _ = train("pare", dense_data, recipe)
    parts, _ = train("pare", dense_data, recipe, micro_batch=3)
    for key, value in state(whole, *COMMON, *EXTRA).items():
        torch.testing.assert_close(parts.state_dict()[key], value, atol=1e-4, rtol=1e-3)


def test_the_gate_learns_while_the_choice_is_drawn(
    dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, (stage,) = build("pare", dense_data, recipe, relaxed_share=0.3)
    learned = []
    for step in (2, 3):
        model.zero_grad()
        stage.objective(model, batch_of(dense_data, [0, 9], step=step))["loss"].sum().backward()
        # Every parameter that learns has a gradient, which workers that average them rely on.
        assert all(p.grad is not None for p in model.parameters())
        learned.append(bool(model.gate.weight.grad.any()))
        assert model.source_head.project.weight.grad.any()
    assert learned == [True, False]


def test_the_source_embedding_stays_as_pretrained(
    dense_data: TaskData, recipe: Recipe, cache: Path
) -> None:
    context = context_of("tiny-sequence", "stdlib-docs", dense_data, recipe, cache)
    embedder = context.required_backbone.source_embedder
    before = [p.clone() for p in embedder.parameters()]
    fit_in(context)
    for value, old in zip(embedder.parameters(), before, strict=True):
        assert torch.equal(value, old) and not value.requires_grad and value.grad is None


class Copies(TorchDispatchMode):
    """Notes how many values each copy to another device or type has."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._to_copy.default:
            self.sizes.append(args[0].numel())
        return func(*args, **(kwargs or {}))


def test_source_samples_are_copied_to_the_device_once(source: Source) -> None:
    samples, backbone = source.samples(), load_backbone("tiny-sequence")
    rows = np.array([5, 0, 5])
    on_cpu = SourceTokens(backbone, samples, torch.device("cpu"))
    tokens, labels = on_cpu.take(rows)
    torch.testing.assert_close(tokens, backbone.embed_source(samples.inputs[rows]))
    assert torch.equal(labels, samples.labels[rows]) and len(on_cpu) == len(samples.labels)
    elsewhere = SourceTokens(backbone, samples, torch.device("meta"))
    with Copies() as copies:
        tokens, labels = elsewhere.take(rows)
    assert tokens.is_meta and labels.is_meta and copies.sizes == [len(rows)]


def test_images_exchange_patches(plane_data: TaskData, recipe: Recipe, cache: Path) -> None:
    context = context_of("tiny-swin", "procedural-images", plane_data, recipe, cache)
    result = fit_in(context)
    losses = [p.value for p in result.curves if p.name == "fitting/loss"]
    assert losses[-1] < losses[0]


def test_released_exchanges_the_highest_once_nothing_is_drawn(
    dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    losses = {}
    for replaces in ("lowest", "highest"):
        model, (stage,) = build("pare", dense_data, recipe, replaces=replaces, relaxed_share=0.3)
        model.eval()
        losses[replaces] = [
            stage.objective(model, batch_of(dense_data, [0, 9], step=step))["loss"]
            for step in (2, 5)
        ]
    drawn, plain = zip(losses["lowest"], losses["highest"], strict=True)
    assert torch.equal(*drawn) and not torch.allclose(*plain)


@pytest.mark.parametrize("preset", METHODS["pare"].presets)
def test_presets_are_settings_of_the_method(preset: str) -> None:
    config = METHODS["pare"].Config.model_validate(METHODS["pare"].presets[preset])
    assert config != METHODS["pare"].Config()


@pytest.mark.parametrize(
    "option",
    [{"begin_share": 1.1}, {"temperature": 0.0}, {"mix_weight": -1.0}, {"replaces": "all"}],
)
def test_bad_values_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        METHODS["pare"].Config.model_validate(option)
