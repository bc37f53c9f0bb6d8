"""What a run keeps in order to go on, and whether what was kept belongs to it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, NonNegativeInt, ValidationError
from torch import Tensor, nn

from xmft.averaging import averages
from xmft.errors import StoppedError
from xmft.optimizers import freeze_all_but
from xmft.parameter_groups import parameter_groups
from xmft.recipe import Recipe
from xmft.records import Best, History
from xmft.session import Session
from xmft.stages import Stage
from xmft.steps import Training

# What the optimizers keep for each parameter.
_KEPT = {
    "adam": {"step", "exp_avg", "exp_avg_sq"},
    "adamw": {"step", "exp_avg", "exp_avg_sq"},
    "sgd": {"momentum_buffer"},
}


class Place(BaseModel):
    """Where a run is: so many steps into an epoch of a stage, each counted from 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: NonNegativeInt = 0
    epoch: NonNegativeInt = 0
    step: NonNegativeInt = 0

    def stopped(self) -> StoppedError:
        """Return what is raised where a run was asked to stop and has kept this place."""
        where = f"{self.step} steps of epoch {self.epoch + 1} in stage {self.stage + 1}"
        return StoppedError(f"Asked to stop after {where}; the same command goes on from there.")


class Checkpoint(BaseModel):
    """The state of a run.

    Attributes:
        place: Where it is.
        last_epoch: Epochs trained in all stages.
        model: Of `state_dict`, as are `optimizer` and `schedule`; whole, however many workers
            wrote it.
        best: Parameters with the best validation score so far.
        history: Curves, measurements and times.
        totals: Within an epoch, what each worker has added up of the losses.
        generators: Within an epoch, the states of each worker's random generators.
        average: Within a stage that averages its parameters, that average, by their names.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    place: Place
    last_epoch: NonNegativeInt
    model: dict[str, Tensor]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    best: Best
    history: History
    totals: list[dict[str, Tensor]]
    generators: list[dict[str, Any]]
    average: dict[str, Tensor] = {}

    def totals_of(self, session: Session) -> dict[str, Tensor]:
        """Return this worker's sums of losses; other numbers of workers have the same sum."""
        if len(self.totals) == session.world_size:
            own = self.totals[session.rank]
        else:
            names = self.totals[0] if self.totals and session.rank == 0 else {}
            own = {name: torch.stack([t[name] for t in self.totals]).sum(dim=0) for name in names}
        return {name: value.to(session.device) for name, value in own.items()}

    def restore_generators(self, session: Session) -> None:
        """Put the random generators of this process into the states of the checkpoint."""
        if not self.generators:
            return
        same = len(self.generators) == session.world_size
        states = self.generators[session.rank if same else 0]
        version, numbers, gauss = states["python"]
        random.setstate((version, tuple(numbers), gauss))
        np.random.set_state(_numpy_state(states["numpy"]))
        torch.set_rng_state(states["torch"])
        if session.device.type == "cuda" and "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], session.device)


def state_of(
    *,
    place: Place,
    last_epoch: int,
    training: Training,
    best: Best,
    history: History,
    totals: Mapping[str, Tensor],
) -> dict[str, Any]:
    """Return what `Checkpoint` reads; all workers call it alike.

    Args:
        place: Where the run is.
        last_epoch: Epochs trained in all stages.
        training: The stage that is under way, or was until now.
        best: Parameters with the best validation score so far.
        history: Curves, measurements and times.
        totals: Within an epoch, this worker's sums of losses.
    """
    session = training.session
    within = place.step > 0
    own = {key: value.cpu() for key, value in totals.items()}
    average = {} if training.average is None else training.average.state_dict()
    return {
        "place": place.model_dump(),
        "last_epoch": last_epoch,
        "model": session.whole(training.model.state_dict()),
        "optimizer": session.whole(training.optimizer.state_dict()),
        "schedule": training.schedule.state_dict(),
        "best": session.whole(vars(best)),
        "history": asdict(history),
        "totals": session.each(own) if within else [],
        "generators": session.each(_generator_states(session.device)) if within else [],
        "average": session.whole(average),
    }


def _generator_states(device: torch.device) -> dict[str, Any]:
    """Return the states of the generators that `seed_everything` seeds."""
    _, keys, *rest = np.random.get_state(legacy=True)
    version, numbers, gauss = random.getstate()
    states: dict[str, Any] = {
        "python": [version, list(numbers), gauss],
        "numpy": [torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest],
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def opened(
    state: Any, model: nn.Module, stages: Sequence[Stage], recipe: Recipe
) -> tuple[Checkpoint | None, str]:
    """Return the checkpoint in `state`, or None and why it cannot be one of this run.

    Nothing of the model is changed but which parameters learn.
    """
    try:
        checkpoint = Checkpoint.model_validate(state)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the state"
        return None, f"{where}: {first['msg']}"
    parameters = model.state_dict()
    why = (
        _differs("model", checkpoint.model, parameters)
        # Empty before the first validation.
        or _differs("best", checkpoint.best.state, parameters if checkpoint.best.epoch else {})
        or _misplaced(checkpoint, model, stages, recipe)
        or _unusable(checkpoint)
    )
    return (None, why) if why else (checkpoint, "")


def _differs(what: str, found: Mapping[str, Tensor], wanted: Mapping[str, Any]) -> str:
    """Say in which key, shape or type tensors are not those of the model; empty if in none."""
    if other := sorted(found.keys() ^ wanted.keys()):
        return f"{what}: {len(other)} keys are not those of the model, '{other[0]}' among them"
    for key, value in found.items():
        model = wanted[key]
        if (value.shape, value.dtype) != (model.shape, model.dtype):
            return (
                f"{what}: '{key}' has the shape {tuple(value.shape)} and the type {value.dtype}, "
                f"expected {tuple(model.shape)} and {model.dtype}"
            )
    return ""


def _misplaced(
    checkpoint: Checkpoint, model: nn.Module, stages: Sequence[Stage], recipe: Recipe
) -> str:
    place = checkpoint.place
    if place.stage == len(stages):
        return "" if place.epoch == place.step == 0 else f"no stage {place.stage + 1}"
    if place.stage > len(stages):
        return f"stage {place.stage + 1} of {len(stages)}"
    stage = stages[place.stage]
    steps = len(stage.batches(place.epoch))
    if place.epoch >= stage.epochs or place.step > steps:
        return (
            f"epoch {place.epoch + 1} of {stage.epochs}, step {place.step} of {steps} in stage "
            f"'{stage.name}'"
        )
    if place.epoch == place.step == 0:
        return ""  # the optimizer is that of the stage before, or has done nothing
    if checkpoint.schedule.get("last_epoch") != place.epoch * steps + place.step:
        return "schedule: it is at another step"
    freeze_all_but(model, stage.trains)
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    averaged = learning if averages(stage, recipe) else {}
    if why := _differs("average", checkpoint.average, averaged):
        return why
    groups = [group["params"] for group in parameter_groups(model, stage, recipe)]
    return _optimizer_differs(checkpoint.optimizer, groups, recipe)


def _optimizer_differs(
    saved: Mapping[str, Any], wanted: Sequence[Sequence[nn.Parameter]], recipe: Recipe
) -> str:
    groups, states = saved.get("param_groups"), saved.get("state")
    trained = list(chain.from_iterable(wanted))
    numbers = iter(range(len(trained)))
    numbered = [[next(numbers) for _ in group] for group in wanted]
    if not isinstance(groups, list) or not isinstance(states, dict):
        return "optimizer: it has no groups or states"
    if [group.get("params") for group in groups if isinstance(group, dict)] != numbered:
        return f"optimizer: it is not one of {len(trained)} parameters in {len(wanted)} groups"
    for number, state in states.items():
        if number not in range(len(trained)) or not isinstance(state, dict):
            return f"optimizer: it has no parameter {number}"
        if state.keys() != _KEPT[recipe.optimizer]:
            return f"optimizer: parameter {number} has the state of another kind of optimizer"
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape not in ((), trained[number].shape):
                return (
                    f"optimizer: '{key}' of parameter {number} has the shape "
                    f"{tuple(value.shape)}, expected {tuple(trained[number].shape)}"
                )
    return ""


def _unusable(checkpoint: Checkpoint) -> str:
    """Try the states of generators on generators that nobody uses."""
    for states in checkpoint.generators:
        try:
            version, numbers, gauss = states["python"]
            random.Random().setstate((version, tuple(numbers), gauss))
            np.random.RandomState().set_state(_numpy_state(states["numpy"]))
            torch.Generator().set_state(states["torch"])
        except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            return f"generators: {error}"
    return ""


def _numpy_state(saved: Sequence[Any]) -> tuple[Any, ...]:
    keys, *rest = saved
    return ("MT19937", keys.numpy().astype(np.uint32), *rest)
