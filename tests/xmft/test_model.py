from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from xmft import moments as moments_module
from xmft.backbones import load_backbone
from xmft.errors import DataError
from xmft.model import CrossModalModel
from xmft.task import Recipe, Split, TaskData


def make(data: TaskData, recipe: Recipe) -> CrossModalModel:
    torch.manual_seed(0)
    return CrossModalModel(load_backbone("tiny-sequence"), data, recipe).eval()


def with_train(data: TaskData, inputs: np.ndarray, targets: np.ndarray) -> TaskData:
    """Data whose training split is given; the others are a few of its samples."""
    few = Split(inputs=inputs[:4], targets=targets[:4])
    return replace(data, train=Split(inputs=inputs, targets=targets), val=few, test=few)


def fields(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    scale, centre = rng.uniform(0.1, 10, (2, 1, shape[1], *[1] * (len(shape) - 2)))
    return (rng.standard_normal(shape) * scale + 10 * centre).astype(np.float32)


@pytest.mark.parametrize("block", [7, 1024])
@pytest.mark.parametrize("shape", [(30, 3, 16), (30, 2, 8, 8)])
def test_statistics_are_those_of_all_samples(
    shape: tuple[int, ...],
    block: int,
    dense_data: TaskData,
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moments_module, "_BLOCK", block)
    inputs, targets = fields(*shape), fields(*shape)[:, ::-1]
    model = make(with_train(dense_data, inputs, targets), recipe)
    wide, points = inputs.astype(np.float64), targets.astype(np.float64)
    axes = tuple(i for i in range(len(shape)) if i != 1)
    mean, spread = wide.mean(axis=axes), wide.std(axis=axes)
    offset = points.mean(axis=0)
    scale = np.sqrt(((points - offset) ** 2).mean(axis=axes))
    for buffer, expected in (
        (model.input_mean.flatten(), mean),
        (model.input_spread.flatten(), spread),
        (model.output_offset, offset),
        (model.output_scale.flatten(), scale),
    ):
        np.testing.assert_allclose(buffer.numpy(), expected, rtol=1e-5)
    standard = (torch.from_numpy(inputs) - model.input_mean) / model.input_spread
    np.testing.assert_allclose(standard.mean(dim=axes), 0, atol=1e-4)
    np.testing.assert_allclose(standard.std(dim=axes, correction=0), 1, rtol=1e-4)
    x = torch.from_numpy(inputs)
    torch.testing.assert_close(model.embed(x), model.embedder(standard))
    assert model(x).shape == torch.Size(shape)


def test_statistics_are_no_parameters_but_belong_to_the_state(
    dense_data: TaskData, recipe: Recipe
) -> None:
    model = make(dense_data, recipe)
    names = {"input_mean", "input_spread", "output_offset", "output_scale"}
    assert names <= model.state_dict().keys()
    assert not names & dict(model.named_parameters()).keys()
    assert {name for name, _ in model.named_children()} == {"embedder", "encoder", "head"}


def test_an_untrained_dense_model_is_close_to_the_training_mean(
    dense_data: TaskData, recipe: Recipe
) -> None:
    model = make(dense_data, recipe)
    targets = dense_data.train.targets.astype(np.float64)
    mean = targets.mean(axis=0)
    with torch.no_grad():
        output = model(torch.from_numpy(dense_data.test.inputs)).numpy()
        assert np.abs(output - mean).max() < 0.8 * targets.std()
        model.head.project.weight.zero_()
        output = model(torch.from_numpy(dense_data.test.inputs)).numpy()
    expected = np.broadcast_to(mean.astype(np.float32), output.shape)
    assert np.array_equal(output, expected)


def test_logits_have_one_column_per_class(class_data: TaskData, recipe: Recipe) -> None:
    model = make(class_data, recipe)
    logits = model(torch.from_numpy(class_data.test.inputs))
    assert logits.shape == (14, 3) and torch.isfinite(logits).all()
    # Mean over tokens, then linear.
    tokens = model.encoder(model.embed(torch.from_numpy(class_data.test.inputs)))
    head = model.head.project
    torch.testing.assert_close(logits, tokens.mean(1) @ head.weight.T + head.bias)


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, 1013.25, 1e-6])
def test_a_constant_channel_keeps_its_scale(
    value: float, dense_data: TaskData, recipe: Recipe
) -> None:
    # Many samples: the sum of their squares has more digits than float64.
    inputs, targets = (
        np.tile(array, (40, 1, 1)) for array in (dense_data.train.inputs, dense_data.train.targets)
    )
    inputs[:, 1] = value
    targets = np.concatenate([targets, np.full_like(targets, value)], axis=1)
    model = make(with_train(dense_data, inputs, targets), recipe)
    assert model.input_spread.flatten()[1] == 1
    assert model.output_scale.flatten()[1] == 1
    assert torch.isfinite(model(torch.from_numpy(inputs))).all()


def test_a_nearly_constant_channel_is_standardised(dense_data: TaskData, recipe: Recipe) -> None:
    inputs = dense_data.train.inputs.copy()
    noise = np.random.default_rng(0).standard_normal(inputs[:, 1].shape)
    inputs[:, 1] = (100 + 1e-2 * noise).astype(np.float32)
    model = make(with_train(dense_data, inputs, dense_data.train.targets), recipe)
    expected = inputs[:, 1].astype(np.float64).std()
    assert model.input_spread.flatten()[1].item() == pytest.approx(expected, rel=1e-4)


def test_different_grids_are_refused(dense_data: TaskData, recipe: Recipe) -> None:
    short = with_train(dense_data, dense_data.train.inputs, dense_data.train.targets[:, :, ::2])
    with pytest.raises(DataError, match=r"toy/dense: targets lie on a grid of \(16,\) points"):
        make(short, recipe)


def test_a_classification_task_needs_a_number_of_classes(
    class_data: TaskData, recipe: Recipe
) -> None:
    with pytest.raises(DataError, match="must say how many classes"):
        make(replace(class_data, task=replace(class_data.task, classes=None)), recipe)


LABELS = np.arange(45) % 3


@pytest.mark.parametrize(
    ("split", "named"), [("train", "training"), ("val", "validation"), ("test", "test")]
)
@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range_are_refused(
    label: int, split: str, named: str, class_data: TaskData, recipe: Recipe
) -> None:
    good: Split = getattr(class_data, split)
    targets = good.targets.copy()
    targets[4] = label
    wrong = {split: Split(inputs=good.inputs, targets=targets)}
    found = rf"found {named} labels of .*such as {label}, but expected one integer from 0 to 2"
    with pytest.raises(DataError, match=found):
        make(replace(class_data, **wrong), recipe)


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (LABELS.astype(np.float32), r"float32 and shape \(45,\) but"),
        (LABELS + 0.5, r"float64 and shape \(45,\), such as 0.5,"),
        (np.eye(3, dtype=np.int64)[LABELS], r"int64 and shape \(45, 3\) but"),
    ],
)
def test_labels_are_one_integer_each(
    targets: Any, found: str, class_data: TaskData, recipe: Recipe
) -> None:
    data = with_train(class_data, class_data.train.inputs, targets)
    with pytest.raises(
        DataError, match=f"toy/classification: found training labels of type {found}"
    ):
        make(data, recipe)


@pytest.mark.parametrize(
    "wrong", [[0.0, 2.0, 1.0], [-1.0, 0.0, 1.0], [0.0, 0.5, 1.0], [0.0, np.nan, 1.0], [0.0, 1.0]]
)
def test_several_labels_are_zeros_and_ones(
    wrong: list[float], multilabel_data: TaskData, recipe: Recipe
) -> None:
    inputs = multilabel_data.train.inputs
    assert make(multilabel_data, recipe)(torch.from_numpy(inputs)).shape == (45, 3)
    for targets in (
        np.tile(np.array(wrong, dtype=np.float32), (45, 1)),
        multilabel_data.train.targets.astype(np.int64),
        multilabel_data.train.targets[:, 0],
    ):
        with pytest.raises(DataError, match="expected 0 or 1, in floating point, for each of 3"):
            make(with_train(multilabel_data, inputs, targets), recipe)


@pytest.mark.parametrize("channels", [1, 2])
def test_the_published_head_has_no_parameters(
    channels: int, dense_data: TaskData, recipe: Recipe
) -> None:
    targets = np.repeat(dense_data.train.targets, channels, axis=1)
    data = with_train(dense_data, dense_data.train.inputs, targets)
    model = make(data, recipe.model_copy(update={"dense_head": "published"}))
    assert not list(model.head.parameters())
    x = torch.from_numpy(dense_data.train.inputs)
    output = (model(x) - model.output_offset) / model.output_scale
    # 8 tokens of 32 hidden units stand for 4 points each, in every channel.
    tokens = model.encoder(model.embed(x))
    bins = tokens.unflatten(2, (channels, 4, -1)).mean(dim=4)
    expected = bins.permute(0, 2, 1, 3).flatten(2)
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_a_second_model_shares_no_parameters(dense_data: TaskData, recipe: Recipe) -> None:
    first, second = make(dense_data, recipe), make(dense_data, recipe)
    storages = {p.data_ptr() for p in first.parameters()}
    assert not storages & {p.data_ptr() for p in second.parameters()}
