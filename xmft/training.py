"""One pretrained model, one task, one method: from data to a trained model with its scores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from xmft.augmentation import augmented
from xmft.backbones import Backbone, drawn_at_random, load_backbone
from xmft.cache import cache_root
from xmft.canonical import canonical_of, suited
from xmft.closed_forms.residual import ClosedFormBase, base_of
from xmft.errors import RequestError
from xmft.fit import fit
from xmft.flops import counted, over_workers, plus
from xmft.invalid import place_and_reason
from xmft.methods import Context, Method
from xmft.methods.variants import merged_options, method_of, options_of, preset_recipe
from xmft.metrics import check_scores, trained_on
from xmft.model import StandardisedModel
from xmft.optimizers import check_stages
from xmft.parameter_groups import check_layered
from xmft.recipe import Recipe
from xmft.seeding import seed_everything
from xmft.session import Session
from xmft.source import check_modality, default_proxy
from xmft.stages import Stage
from xmft.task import TaskData
from xmft.trained import Trained
from xmft.training_subset import learned_from


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A model and its stages before the first step.

    Attributes:
        model: Freshly drawn, on the device.
        stages: What the method trains, in order.
        prepare_s: See `Trained`.
        prepare_flops: Operations of this process, without artefacts of the source.
        measure_s: Seconds spent on what is only measured, likewise before stage 1.
        base_s: See `Trained`.
    """

    model: nn.Module
    stages: list[Stage]
    data: TaskData
    recipe: Recipe
    seed: int
    device: torch.device
    prepare_s: float
    prepare_flops: int | None
    measure_s: float = 0.0
    base_s: float = 0.0

    def fit(
        self,
        session: Session | None = None,
        *,
        micro_batch: int | None = None,
        until: int | None = None,
    ) -> Trained:
        """Train through the stages and score; arguments and errors as `xmft.fit.fit`."""
        if session is None:
            session = Session()
            session.device = self.device
        result = fit(
            self.model,
            self.stages,
            self.data,
            self.recipe,
            session,
            seed=self.seed,
            micro_batch=micro_batch,
            until=until,
        )
        prepared = over_workers(session, self.prepare_flops)
        return Trained(
            model=self.model,
            result=replace(
                result.with_measuring(self.measure_s),
                flops={"prepare": prepared, **result.flops},
            ),
            prepare_s=self.prepare_s,
            base_s=self.base_s,
            device=self.device,
            recipe=self.recipe,
        )


def assemble(
    data: TaskData,
    method: str | type[Method] = "recraft",
    *,
    backbone: str | Backbone = "minilm",
    recipe: Recipe | None = None,
    options: Mapping[str, Any] | None = None,
    source: str | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
    data_root: Path | None = None,
) -> Assembled:
    """Build the model and the stages of a method; the arguments are those of `train`.

    The model is drawn from the seed alone, so that methods with the same parts start alike.
    """
    recipe, device = _recipe(method, recipe or Recipe()), torch.device(device)
    weighted = any(split.weights is not None for split in data.splits.values())
    check_scores(data.task, weighted=weighted)
    if not data.checked:
        data.check_values()
    kind, chosen = _method(method, options or {})
    if data.task.kind not in kind.kinds:
        raise RequestError(
            f"Method '{kind.name}' is for {kind.purpose()}, but '{data.task.name}' is a "
            f"{data.task.kind} task. Choose another method."
        )
    recipe = suited(recipe.without(kind.ignores), data.task)
    data = learned_from(data, recipe, seed)
    data = replace(augmented(data, recipe), task=trained_on(data.task, recipe))
    kind.check_installed()
    # Before anything that takes longer: the task may be none for it.
    start = time.perf_counter()
    with counted() as fitted:
        base = base_of(data, recipe, device)
    base_s = time.perf_counter() - start
    body = _backbone(kind, backbone, recipe, seed)
    proxy = source or (default_proxy(body.modality) if body else "")
    if body is not None and kind.uses_source:
        check_modality(proxy, body.modality, body.id, task=data.task.name)
    context = Context(
        data=data,
        recipe=recipe,
        backbone=body,
        proxy=proxy,
        seed=seed,
        device=device,
        cache=cache_root() if cache is None else cache,
        data_root=Path.cwd() if data_root is None else data_root,
        base=base,
    )
    seed_everything("model", seed)
    # Some methods need the source as soon as they make their model.
    start = time.perf_counter()
    with counted() as built:
        model = chosen.model(context).to(device)
        check_layered(model, recipe)
        _check_form(model, context, kind)
        if base is not None:
            _stand(model, base, kind)
            _check_seen(model, recipe, kind)
        stages = chosen.stages(context)
    check_stages(model, stages, recipe)
    ready = time.perf_counter()
    measured = [stage.prepare_measure for stage in stages if stage.prepare_measure is not None]
    for prepare in measured:
        prepare()
    return Assembled(
        model=model,
        stages=stages,
        data=data,
        recipe=recipe,
        seed=seed,
        device=device,
        prepare_s=ready - start,
        measure_s=time.perf_counter() - ready if measured else 0.0,
        base_s=base_s,
        prepare_flops=plus(fitted.total, built.total),
    )


def train(
    data: TaskData,
    method: str | type[Method] = "recraft",
    *,
    backbone: str | Backbone = "minilm",
    recipe: Recipe | None = None,
    options: Mapping[str, Any] | None = None,
    source: str | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
    data_root: Path | None = None,
    session: Session | None = None,
    micro_batch: int | None = None,
) -> Trained:
    """Fine-tune a pretrained model on a task and score it.

    Args:
        data: The task's splits: of `benchmarks.load_task`, or `TaskData.from_arrays`.
        method: A name, `name:preset`, or a class of your own.
        backbone: A name of `xmft list backbones`, a hub id, a folder, or a backbone of your own,
            which is trained in place.
        recipe: How long and how fast; None: the defaults. Its `samples` and `resolution` are for
            `load_task`: data are used as they are given.
        options: Options of the method that differ from its defaults (or its preset's).
        source: Source proxy of methods that align; None: the one that needs no files, of the
            backbone's modality.
        seed: Seed of everything random.
        device: Where to train, unless a session says so.
        cache: Folder for source artefacts and clusters; None: `$XMFT_CACHE` or ~/.cache/xmft.
        data_root: Folder with the official files of a source proxy; None: the working directory.
        session: Workers, progress and checkpoints; None: this process alone.
        micro_batch: Most samples in one forward pass of training; gradients are accumulated.

    Returns:
        The model and its scores; the same arguments give the same numbers on the same machine.

    Raises:
        RequestError: method, options, backbone or source are unknown or do not fit the task.
        DataError: the data cannot be used.
        DivergedError: a loss or a score is not finite.
    """
    assembled = assemble(
        data,
        method,
        backbone=backbone,
        recipe=recipe,
        options=options,
        source=source,
        seed=seed,
        device=device if session is None else session.device,
        cache=cache,
        data_root=data_root,
    )
    return assembled.fit(session, micro_batch=micro_batch)


def _method(method: str | type[Method], options: Mapping[str, Any]) -> tuple[type[Method], Method]:
    """Return a method's class, and the method with its options."""
    merged = dict(options)
    if isinstance(method, str):
        kind, merged = method_of(method), merged_options(options_of(method, {}), options)
    else:
        kind = method
    try:
        return kind, kind(kind.Config.model_validate(merged))
    except ValidationError as error:
        place, reason = place_and_reason(error, merged)
        raise RequestError(
            f"Option '{place}' of method '{kind.name}': {reason}, found "
            f"{error.errors()[0]['input']!r}. `xmft list methods {kind.name}` lists its options."
        ) from None


def _stand(model: nn.Module, base: ClosedFormBase, kind: type[Method]) -> None:
    if not isinstance(model, StandardisedModel):
        raise RequestError(
            f"Method '{kind.name}' has a model of its own kind, which cannot learn what a closed "
            "form leaves. Derive it from xmft.model.StandardisedModel, or use `base: mean`."
        )
    model.stand_on(base)


def _check_seen(model: nn.Module, recipe: Recipe, kind: type[Method]) -> None:
    if recipe.sees_base and not getattr(model, "sees_base", False):
        raise RequestError(
            f"Method '{kind.name}' builds a model that does not read its base, and base_seen is "
            "true. Hand the recipe to StandardisedModel and take the shapes of "
            "xmft.model.shapes_seen, or use `base_seen: false`."
        )


def _check_form(model: nn.Module, context: Context, kind: type[Method]) -> None:
    forms = (part.canonical for part in model.modules() if isinstance(part, StandardisedModel))
    wanted = canonical_of(context.data, context.recipe) is not None
    if wanted and all(form is None for form in forms):
        raise RequestError(
            f"Method '{kind.name}' builds a model that sees samples as they are, and canonical is "
            "true. Hand the recipe to StandardisedModel, or use `canonical: false`."
        )


def _recipe(method: str | type[Method], recipe: Recipe) -> Recipe:
    """Return the recipe with what the method's preset says of fields that were left unsaid."""
    if not isinstance(method, str):
        return recipe
    said = recipe.model_fields_set
    own = {name: value for name, value in preset_recipe(method).items() if name not in said}
    return recipe.model_copy(update=own)


def _backbone(
    kind: type[Method], backbone: str | Backbone, recipe: Recipe, seed: int
) -> Backbone | None:
    if not kind.uses_backbone:
        return None
    if isinstance(backbone, str):
        return load_backbone(backbone, layers=recipe.layers, pretrained=kind.pretrained, seed=seed)
    return backbone if kind.pretrained else drawn_at_random(backbone, seed)
