"""What the base of a network is refused for, and what is told of models that have one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xmft.closed_forms import choosing
from xmft.closed_forms.residual import base_of
from xmft.errors import RequestError
from xmft.methods import Context, Method, fitting_stage
from xmft.metrics import METRICS
from xmft.model import OperatorModel
from xmft.samples import Decoded
from xmft.stages import Batch, Stage
from xmft.task import Recipe, Split, TaskData, Windows
from xmft.training import assemble

Build = Callable[..., tuple[Any, list[Any]]]


def test_what_is_no_whole_field_is_refused(
    dense_data: TaskData, class_data: TaskData, multilabel_data: TaskData, build: Build
) -> None:
    bits = replace(
        dense_data.task, loss="binary_cross_entropy", metrics=("one_minus_auroc_pixels",)
    )
    ones = {
        name: replace(split, targets=(split.targets > 0).astype(np.float32))
        for name, split in dense_data.splits.items()
    }
    cut = {
        name: replace(split, windows=Windows.every([32] * len(split), (16,), 8))
        for name, split in dense_data.splits.items()
    }
    for wrong, why in (
        (class_data, "it is a classification task"),
        (multilabel_data, "it is a multilabel task"),
        (replace(dense_data, task=bits, **ones), "its targets are logits"),
        (replace(dense_data, **cut), "cut to windows"),
        (replace(dense_data, augment=lambda batch, draws: batch), "augmented"),
        (
            replace(dense_data, decode=lambda p: Decoded(p.inputs, p.targets)),
            "decoded batch by batch",
        ),
        (
            replace(dense_data, train=first(dense_data.train, 4)),
            "at least 5 training samples, found 4",
        ),
    ):
        with pytest.raises(RequestError, match=why):
            build("nft", wrong, Recipe(base="ridge", max_tokens=8))
    both = Recipe(base="ridge", residual=True, max_tokens=8)
    with pytest.raises(RequestError, match="Choose one of them"):
        build("nft", dense_data, both)
    build("fno", dense_data, both)
    # What has no network has no use for a base.
    for method in ("ridge", "mean"):
        build(method, dense_data, Recipe(base="kernel"))


def first(split: Split, count: int) -> Split:
    return replace(split, inputs=split.inputs[:count], targets=split.targets[:count])


def test_too_much_for_the_memory_is_said(
    dense_data: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "_MOST_BYTES", 1000)
    with pytest.raises(RequestError, match=r"base 'kernel' would hold .* for 45 samples of 64"):
        base_of(dense_data, Recipe(base="kernel"), torch.device("cpu"))


class Own(Method):
    """A method with a model of its own kind."""

    name, version, title, uses_backbone = "own", 1, "its own", False

    def model(self, context: Context) -> nn.Module:
        return nn.Conv1d(2, 1, 1)

    def stages(self, context: Context) -> list[Stage]:
        return []


class Forgetful(Own):
    """One that puts the parts of its model together without the base."""

    def model(self, context: Context) -> nn.Module:
        return OperatorModel(nn.Conv1d(2, 1, 1), context.data)

    def stages(self, context: Context) -> list[Stage]:
        def objective(model: OperatorModel, batch: Batch) -> dict[str, Tensor]:
            guess = model.physical(model.operator(model.standardised(batch.inputs)))
            return {"loss": (guess - batch.targets).square().flatten(1).mean(dim=1)}

        return [replace(fitting_stage(context, trains=("operator",)), objective=objective)]


def test_methods_of_ones_own_are_told_what_to_mend(dense_data: TaskData) -> None:
    recipe = Recipe(base="ridge", epochs=1)
    with pytest.raises(RequestError, match=r"Derive it from xmft\.model\.StandardisedModel"):
        assemble(dense_data, Own, recipe=recipe)
    assemble(dense_data, Own, recipe=Recipe(epochs=1)).fit()
    with pytest.raises(RequestError, match=r"physical\(output, batch\.base, "):
        assemble(dense_data, Forgetful, recipe=recipe).fit()
    assemble(dense_data, Forgetful, recipe=Recipe(epochs=1)).fit()


def test_predictions_and_parameters_are_with_the_base(dense_data: TaskData) -> None:
    trained = assemble(dense_data, "fno", recipe=Recipe(base="kernel", epochs=1)).fit()
    found = trained.predict(dense_data.test.inputs)
    score = METRICS["nrmse"].score(*map(torch.from_numpy, (found, dense_data.test.targets)))
    assert trained.scores["nrmse"] == pytest.approx(score, rel=1e-5)
    assert trained.scored("test", "base")["nrmse"] != trained.scores["nrmse"]
    bare = assemble(dense_data, "fno", recipe=Recipe(epochs=1)).fit()
    # 45 samples, each with a coefficient for every one of 32 values.
    assert trained.params == bare.params + 45 * 32
    assert trained.trainable_params == bare.trainable_params
