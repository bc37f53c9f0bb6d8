"""A batch that is compared as a whole, taken in parts: the same gradient, draw by draw."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from xmft.gradients import BatchMemoryError, Gradient, StageObjective
from xmft.objectives import BatchObjective, Features
from xmft.optimizers import freeze_all_but, set_modes
from xmft.samples import Samples
from xmft.session import Session
from xmft.stages import Batch, Stage
from xmft.task import Recipe, Split, TaskData

Build = Callable[..., tuple[Any, list[Stage]]]
CPU = torch.device("cpu")
WHOLE = [
    ("orca", {}),
    ("orca", {"distance": "mmd"}),
    ("orca", {"distance": "l2"}),
    ("orca:released", {}),
    ("recraft", {}),
    ("recraft", {"distortion_weight": 0.0}),
    ("recraft", {"task_weight": 1.0}),
    ("recraft:paper", {}),
    ("recraft:released", {}),
    ("mona", {"order": "exact"}),
]


def taken(
    model: nn.Module, stage: Stage, samples: Samples, indices: Any, micro_batch: int | None
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The gradient of one step, and its losses."""
    freeze_all_but(model, stage.trains)
    set_modes(model, stage.trains)
    model.zero_grad(set_to_none=True)
    gradient = Gradient(Session(), samples, precision="float32", micro_batch=micro_batch)
    losses = gradient.accumulate(stage, StageObjective(model, stage), indices, step=3, steps=20)
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return found, {key: value.item() for key, value in losses.items()}


@pytest.mark.parametrize("method, options", WHOLE)
def test_parts_have_the_gradient_of_the_whole(
    method: str, options: dict[str, Any], class_data: TaskData, recipe: Recipe, build: Build
) -> None:
    first, stages = build(method, class_data, recipe, **options)
    samples = Samples(class_data.train, CPU)
    aligning = [stage for stage in stages if stage.whole_batch]
    assert aligning
    for stage in aligning:
        indices = stage.batches(0)[0]
        expected, losses = taken(copy.deepcopy(first), stage, samples, indices, None)
        for micro_batch in (1, 5, 100):
            model = copy.deepcopy(first)
            found, same = taken(model, stage, samples, indices, micro_batch)
            assert same == pytest.approx(losses, rel=1e-5, abs=1e-6)
            assert found.keys() == expected.keys()
            scale = torch.cat([g.flatten() for g in expected.values()]).abs().max()
            for name, value in expected.items():
                torch.testing.assert_close(
                    found[name], value, atol=2e-6 * scale.item(), rtol=1e-5, msg=name
                )


class Net(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Linear(6, 16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, 3)
        )
        self.register_buffer("calls", torch.zeros(1))

    calls: Tensor


def represent(model: Net, batch: Batch) -> Features:
    features = model.body(batch.inputs.flatten(1).double())
    return {"z": features, "total": features.square().sum(dim=0, keepdim=True)}


def loss(model: Net, features: Features, batch: Batch) -> dict[str, Tensor]:
    """Each sample meets each other, in no way a sum over samples."""
    model.calls += 1
    gaps = torch.cdist(features["z"] + 1, -features["z"])
    return {"loss": gaps.square().logsumexp(dim=(0, 1)) + features["total"].prod()}


def toy(dropout: float = 0.0) -> tuple[Net, Stage, Samples, Any]:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((11, 1, 6)).astype(np.float32)
    split = Split(inputs=inputs, targets=np.zeros(11, dtype=np.int64))
    stage = Stage(
        name="toy",
        trains=("body",),
        objective=BatchObjective(represent=represent, loss=loss, sums=frozenset({"total"})),
        batches=lambda epoch: [np.arange(11)],
        epochs=1,
        learning_rate=1.0,
        whole_batch=True,
    )
    return Net(dropout).double(), stage, Samples(split, CPU), rng.permutation(11)


@pytest.mark.parametrize("micro_batch", [1, 2, 4, 10])
def test_in_double_precision_it_is_the_same_gradient(micro_batch: int) -> None:
    model, stage, samples, indices = toy()
    expected, losses = taken(model, stage, samples, indices, None)
    found, same = taken(model, stage, samples, indices, micro_batch)
    assert model.calls.item() == 2, "the loss is called once in a step"
    assert same == pytest.approx(losses, rel=1e-13)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-12, rtol=1e-12, msg=name)


def test_dropout_is_the_same_in_both_passes() -> None:
    model, stage, samples, indices = toy(dropout=0.5)
    torch.manual_seed(7)
    found, losses = taken(model, stage, samples, indices, 4)
    behind = torch.rand(1)

    torch.manual_seed(7)
    model.zero_grad()
    inputs = samples.take(indices)[0]
    z = torch.cat([model.body(part.flatten(1).double()) for part in inputs.split(4)])
    total = z.square().sum(dim=0, keepdim=True)
    by_hand = (torch.cdist(z + 1, -z).square().logsumexp(dim=(0, 1))) + total.prod()
    by_hand.backward()
    assert losses["loss"] == pytest.approx(by_hand.item(), rel=1e-12)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(found[name], parameter.grad, atol=1e-12, rtol=1e-12, msg=name)
    assert torch.equal(behind, torch.rand(1)), "the next step draws what it would have drawn"


@pytest.mark.parametrize(
    "micro_batch, split, samples", [(None, True, 11), (4, True, 4), (4, False, 1)]
)
def test_running_out_of_memory_says_how_many_samples_there_were(
    micro_batch: int | None, split: bool, samples: int
) -> None:
    model, stage, data, indices = toy()

    def full(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    objective = BatchObjective(represent=full, loss=full) if split else full
    with pytest.raises(BatchMemoryError, match=r"samples of stage 'toy'.*CUDA out of") as caught:
        taken(model, replace(stage, objective=objective), data, indices, micro_batch)
    assert caught.value.samples == samples


@pytest.mark.parametrize("method", ["recraft", "mona"])
def test_a_run_in_parts_trains_the_same(
    method: str, class_data: TaskData, recipe: Recipe, train: Any
) -> None:
    options = {"order": "exact"} if method == "mona" else {}
    short = recipe.model_copy(update={"epochs": 1})
    model, whole = train(method, class_data, short, **options)
    other, parts = train(method, class_data, short, micro_batch=5, **options)
    ours, theirs = (
        torch.cat([value.flatten() for value in m.state_dict().values()]) for m in (model, other)
    )
    assert (ours - theirs).norm() < 1e-4 * ours.norm()
    for one, two in zip(whole.curves, parts.curves, strict=True):
        assert (one.name, one.epoch) == (two.name, two.epoch)
        assert two.value == pytest.approx(one.value, rel=1e-3, abs=1e-5)
