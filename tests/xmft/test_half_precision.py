from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xmft.backbones import load_backbone
from xmft.fit import fit
from xmft.methods import METHODS, Context
from xmft.records import FitResult
from xmft.session import Session
from xmft.task import Recipe, Split, TaskData


def losses_of(result: FitResult, stage: str) -> list[float]:
    return [p.value for p in result.curves if (p.split, p.name) == ("train", f"{stage}/loss")]


def plane(data: TaskData) -> TaskData:
    """Spread a sequence over a second axis."""

    def wide(split: Split) -> Split:
        return Split(
            inputs=np.repeat(split.inputs[:16, :, None, :16], 16, axis=2),
            targets=np.repeat(split.targets[:16, :, None, :16], 16, axis=2),
        )

    splits = {name: wide(getattr(data, name)) for name in ("train", "val", "test")}
    return replace(data, fingerprint="plane", **splits)


@pytest.mark.parametrize(
    ("backbone", "proxy"),
    [("tiny-sequence", "stdlib-docs"), ("tiny-swin", "procedural-images")],
)
@pytest.mark.parametrize(
    ("name", "options"),
    [("orca", {}), ("recraft", {}), ("pare", {}), ("mona", {}), ("mona", {"order": "exact"})],
)
def test_methods_with_a_source_learn_in_half_precision(
    name: str,
    options: dict[str, Any],
    backbone: str,
    proxy: str,
    dense_data: TaskData,
    recipe: Recipe,
    cache: Path,
) -> None:
    data = dense_data if backbone == "tiny-sequence" else plane(dense_data)
    context = Context(
        data=data,
        recipe=recipe.model_copy(update={"precision": "bfloat16"}),
        backbone=load_backbone(backbone),
        proxy=proxy,
        seed=0,
        device=torch.device("cpu"),
        cache=cache,
    )
    small: dict[str, Any] = {"source": {"samples": 64, "tokens": 8}}
    if name != "pare":
        small |= {"alignment_steps": 2, "alignment_batch": 12, "clusters": 3}
        small["predictor"] = {"plain_steps": 2, "bounded_steps": 1}
    method = METHODS[name](METHODS[name].Config.model_validate(small | options))
    model, stages = method.model(context), method.stages(context)
    result = fit(model, stages, data, context.recipe, Session(), seed=0)
    losses = losses_of(result, "fitting")
    assert losses[-1] < losses[0]
    assert bool(losses_of(result, "alignment")) == (name != "pare")
