"""What the preset `released` of RECRAFT has of the public code beyond its order of stages."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xmft.alignment.sinkhorn import Blurred, sinkhorn_divergence
from xmft.alignment.wasserstein import Points
from xmft.backbones import load_backbone
from xmft.methods import METHODS
from xmft.methods.variants import options_of
from xmft.source.predictor import PredictorConfig
from xmft.stages import Batch, Stage
from xmft.task import Recipe, TaskData

Build = Callable[..., tuple[Any, list[Stage]]]


def test_the_source_predictor_is_bounded_on_images_alone() -> None:
    kind = METHODS["recraft"]
    config = kind.Config.model_validate(options_of("recraft:released", {}))
    text, vision = (
        config.predictor_of(load_backbone(name)) for name in ("tiny-sequence", "tiny-swin")
    )
    kept = 4500  # of 5,000 source samples a tenth is held out
    assert text.bounded_steps == 0 and text.plain_steps == 30 * (kept // text.batch_size)
    assert vision.batch_size == 4 and (vision.threshold, vision.penalty_weight) == (0.4, 100)
    assert vision.plain_steps == vision.bounded_steps == 10 * (kept // 4)
    for found in (text, vision):
        assert (found.learning_rate, found.schedule, found.weight_decay) == (1e-4, "cosine", 0.05)
    default = kind.Config()
    assert default.predictor_of(load_backbone("tiny-swin")) == PredictorConfig()


def loss_of(build: Build, data: TaskData, recipe: Recipe, index: int, **options: Any) -> float:
    model, stages = build("recraft:released", data, recipe, **options)
    stage = stages[index]
    assert stage.classes is not None
    indices = stage.batches(0)[0]
    batch = Batch(
        inputs=torch.from_numpy(data.train.inputs[indices]),
        targets=torch.from_numpy(data.train.targets[indices]),
        classes=torch.from_numpy(stage.classes[indices]),
        indices=indices,
        step=0,
        steps=20,
        gather=lambda x: x,
    )
    return float(stage.objective(model.eval(), batch)["loss"].item())


def test_losses_have_the_published_scale(
    class_data: TaskData, recipe: Recipe, build: Build, cache: Path
) -> None:
    """Samples of a step per batches of the task: 45 samples in batches of 8, 15 of each class."""
    model, (alignment, *_) = build("recraft:released", class_data, recipe)
    published = loss_of(build, class_data, recipe, 0)
    relative = loss_of(build, class_data, recipe, 0, loss_scale="relative")
    # The divergence itself, of the same samples from the same source.
    indices = alignment.batches(0)[0]
    with torch.no_grad():
        pooled = model.eval().embed(torch.from_numpy(class_data.train.inputs[indices])).mean(dim=1)
    source = next(
        stored["pooled"]
        for path in sorted((cache / "source").glob("features-*.pt"))
        if len((stored := torch.load(path))["pooled"]) == 64
    )
    plain = sinkhorn_divergence(Blurred(Points(source), epsilon=0.1), pooled).item()
    assert published == pytest.approx(plain * len(indices) / math.ceil(45 / 8), rel=1e-4)
    assert relative != pytest.approx(published, rel=0.1)

    published = loss_of(build, class_data, recipe, 1)
    relative = loss_of(build, class_data, recipe, 1, loss_scale="relative")
    entropy = relative * math.log(3)  # relative to three equal classes
    assert published == pytest.approx(entropy * (1 / 3) * 6 / math.ceil(15 / 8), rel=1e-5)


def test_pare_exchanges_as_many_tokens_as_the_public_code_in_each_epoch(
    dense_data: TaskData, recipe: Recipe, build: Build
) -> None:
    model, (stage,) = build(
        "pare:released", dense_data, recipe, source={"samples": 64, "tokens": 8}
    )
    shares = []
    for step in range(9):  # three epochs of three steps
        batch = Batch(
            inputs=torch.from_numpy(dense_data.train.inputs[:2]),
            targets=torch.from_numpy(dense_data.train.targets[:2]),
            classes=None,
            indices=np.arange(2),
            step=step,
            steps=9,
            gather=lambda x: x,
        )
        shares.append(stage.objective(model, batch)["replaced"][0].item() * 8)
    assert shares == [int(8 - 8 * (epoch / 3)) for epoch in (0, 0, 0, 1, 1, 1, 2, 2, 2)]
