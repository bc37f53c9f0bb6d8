"""What a method is: a name, a configuration, a model, and the stages it trains in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from xmft.backbones import Backbone
from xmft.cache import once
from xmft.canonical import canonical_of
from xmft.closed_forms.residual import ClosedFormBase
from xmft.decoded_targets import DecodedTargets
from xmft.methods.pseudo_labels import VERSION, pseudo_labels
from xmft.metrics import LOSSES
from xmft.model import CrossModalModel
from xmft.recipe import Encoder
from xmft.registry import Registry
from xmft.source.artefacts import Source, SourceConfig
from xmft.stages import Batch, Indices, Stage, shuffled_batches
from xmft.task import Kind, Recipe, TaskData


class MethodConfig(BaseModel):
    """Base of the nested `Config` of every method."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True)
class Context:
    """All that a method may look at when it builds its model and lays out its stages.

    Attributes:
        data: The task's splits; methods use the training split alone.
        recipe: How the target is fitted.
        backbone: The pretrained encoder before training, for methods that use one; features of the
            source come from it.
        proxy: Name of the source proxy.
        seed: Seed of the cell.
        device: Where the model lives.
        cache: Folder for artefacts shared between cells.
        data_root: Folder below which the official files of a source proxy are looked for.
        base: The closed form that the network will learn the residual of; None: the training mean.
    """

    data: TaskData
    recipe: Recipe
    backbone: Backbone | None
    proxy: str
    seed: int
    device: torch.device
    cache: Path
    data_root: Path = Path()
    base: ClosedFormBase | None = None

    @property
    def required_backbone(self) -> Backbone:
        """The backbone, for methods that cannot do without.

        Raises:
            ValueError: the method said that it uses none.
        """
        if self.backbone is None:
            raise ValueError("A method with uses_backbone=False asked for the backbone.")
        return self.backbone

    def source(self, config: SourceConfig) -> Source:
        """Return the source proxy's artefacts under this backbone."""
        return Source(self.proxy, self.required_backbone, config, self.cache, self.data_root)

    def target_classes(self, clusters: int) -> Indices:
        """Return the class of each training sample, `[N]` from 0.

        It is the label for classification, and a cluster of the targets for fields (in their
        canonical form, if the recipe has one) and for several labels. Clusters are kept on disk, so
        that all cells and workers train on the same ones.

        Args:
            clusters: Number of clusters.

        Raises:
            DataError: targets cannot be clustered.
        """
        train = self.data.train
        if self.data.task.kind == "classification":
            # The model has looked at them.
            return np.asarray(train.targets)[train.sample_of_row].astype(np.int64)
        canonical = canonical_of(self.data, self.recipe)
        plain = self.data.decode is None and train.windows is None and canonical is None
        targets = np.asarray(train.targets) if plain else DecodedTargets(self.data, canonical)
        form = "" if canonical is None else f"-{canonical.key}"
        path = self.cache / "classes" / f"{self.data.fingerprint}-{clusters}-v{VERSION}{form}.npy"

        def make(temporary: Path) -> None:
            with temporary.open("wb") as file:  # by name, numpy would add an ending
                np.save(file, pseudo_labels(targets, clusters=clusters))

        def read(found: Path) -> Indices | None:
            return np.load(found) if found.is_file() else None

        return once(path, make, read)


class Method(ABC):
    """A way to fine-tune; owns no loop, no optimizer and no files.

    Attributes:
        name: Name in the registry, on the command line and in the ledger.
        version: Raised when the same configuration starts to give other numbers.
        title: One line for `xmft list methods`.
        pretrained: Whether the encoder starts from its pretrained weights.
        uses_source: Whether the source proxy takes part (and so belongs to the cell id).
        uses_backbone: Whether a backbone takes part, likewise.
        kinds: Kinds of task it is for.
        axes: Numbers of grid axes that it is for.
        ignores: Fields of the recipe that are of no concern to it; they are left out of the cell
            id, and are at their defaults when a cell is trained.
        seconds_per_sample: About what one of the training split takes a core, of a method that
            trains in no epochs; the first guess of a plan.
        presets: Named settings of `Config` that differ from its defaults: `released` does what the
            public code does, `paper` what the paper says where its code does something else.
        preset_recipes: Fields of the recipe that a preset says as well, by its name; a grid's
            `per_method` and a recipe that says them itself have the last word.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    title: ClassVar[str]
    pretrained: ClassVar[bool] = True
    uses_source: ClassVar[bool] = False
    uses_backbone: ClassVar[bool] = True
    kinds: ClassVar[tuple[Kind, ...]] = get_args(Kind)
    axes: ClassVar[tuple[int, ...]] = (1, 2)
    ignores: ClassVar[frozenset[str]] = frozenset()
    seconds_per_sample: ClassVar[float] = 0.0
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    preset_recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    class Config(MethodConfig):
        """No options."""

    def __init__(self, config: Any) -> None:
        """Create from a validated `Config`."""
        self.config = config

    @classmethod
    def purpose(cls) -> str:
        """Say which tasks it is for."""
        return f"{' and '.join(cls.kinds)} tasks{' in one dimension' if cls.axes == (1,) else ''}"

    @classmethod  # noqa: B027  (most methods need nothing)
    def check_installed(cls) -> None:
        """Make sure that the packages of an extra are there; asked once, before cells run.

        Raises:
            RequestError: one is missing.
        """

    def model(self, context: Context) -> nn.Module:
        """Return the model, freshly drawn, in physical units on both ends.

        Its direct children are the parts that stages name in `trains`.
        """
        return CrossModalModel(context.required_backbone, context.data, context.recipe)

    @abstractmethod
    def stages(self, context: Context) -> list[Stage]:
        """Return the stages in the order in which they are trained."""


METHODS: Registry[type[Method]] = Registry("method")

M = TypeVar("M", bound=type[Method])


def register(method: M) -> M:
    """Register a method under its `name`; decorates the class."""
    METHODS.add(method.name, method)
    return method


# What `Recipe.encoder` makes of the part.
_ENCODER: Mapping[Encoder, tuple[str, ...]] = {
    "all": ("encoder",),
    "norms": ("encoder:norms",),
    "lora": ("encoder:adapters",),
    "frozen": (),
}


def fitting_stage(
    context: Context, *, trains: tuple[str, ...] = ("embedder", "encoder", "head")
) -> Stage:
    """Target fitting: all parameters on the task's own loss, as every method that trains ends.

    Args:
        context: The cell.
        trains: The parts of the method's model, all of them; of `encoder` learns what the recipe
            says, unless the method says it itself (`encoder:norms`).
    """
    task, recipe = context.data.task, context.recipe
    of_encoder = _ENCODER[recipe.encoder]
    parts = [of_encoder if part == "encoder" else (part,) for part in trains]
    per_sample = LOSSES[task.loss]

    def objective(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        # Models of other kinds stand on nothing and take the inputs alone.
        given = (batch.inputs,) if batch.base is None else (batch.inputs, batch.base)
        return {"loss": per_sample(model(*given), batch.targets, batch.weights)}

    return Stage(
        name="fitting",
        trains=tuple(chain.from_iterable(parts)),
        objective=objective,
        batches=shuffled_batches(len(context.data.train), recipe.batch_size, context.seed),
        epochs=recipe.epochs,
        learning_rate=recipe.learning_rate,
        validates=True,
        account="fit",
    )
