"""How long and how fast to train."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Precision = Literal["float32", "bfloat16"]
DenseHead = Literal["learned", "published"]
Encoder = Literal["all", "norms", "lora", "frozen"]
Schedule = Literal["linear", "cosine", "onecycle"]
Augment = Literal["none", "symmetries", "galilean"]
Patches = Literal["xavier", "convolution", "published", "redrawn"]
Stem = Literal["none", "convolution"]
Padding = Literal["zeros", "periodic"]
Base = Literal["mean", "ridge", "kernel"]
_Decay = Annotated[float, Field(ge=0, lt=1)]


OF_ENCODERS = frozenset(
    {
        "layers",
        "encoder",
        "lora_rank",
        "max_tokens",
        "patches",
        "amplitude",
        "overlap",
        "stem",
        "padding",
        "dense_head",
        "layer_decay",
        "refine",
        "residual",
    }
)
"""Fields of an encoder, its embedder and its head: no concern of methods without one."""

OF_SAMPLES = frozenset({"samples", "train_samples", "resolution"})
"""Fields that say which samples there are, and how large: a concern of every method that learns."""

BEFORE: Mapping[str, Any] = {
    "schedule": "linear",
    "decay_all": True,
    "layer_decay": 1.0,
    "average": 0.0,
    "loss": "task",
    "augment": "none",
    "canonical": False,
    "encoder": "all",
    "lora_rank": 8,
    "patches": "xavier",
    "amplitude": False,
    "overlap": 0.0,
    "stem": "none",
    "padding": "zeros",
    "refine": False,
    "residual": False,
    "base": "mean",
    "base_seen": False,
    "train_samples": None,
}
"""Fields that old cells do not have, with the value that says what the code did then."""


class Recipe(BaseModel):
    """How long and how fast to train, and how the data are cut; part of the cell id.

    The batch is global: with several workers each takes `batch_size / workers` samples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    epochs: int = Field(20, ge=1, description="epochs of target fitting")
    batch_size: int = Field(16, ge=1, description="global batch of target fitting")
    learning_rate: float = Field(5e-4, gt=0, description="peak rate of target fitting")
    optimizer: Literal["adamw", "adam", "sgd"] = Field("adamw", description="of target fitting")
    weight_decay: float = Field(1e-2, ge=0, description="decoupled with adamw, L2 with the others")
    decay_all: bool = Field(
        True, description="false: no weight decay of norms, biases, positions and gains"
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="factor of the rate from an encoder layer to the one below it"
    )
    betas: tuple[_Decay, _Decay] = Field((0.9, 0.98), strict=False, description="of adamw and adam")
    momentum: _Decay = Field(0.9, description="of sgd")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps spent on warm-up")
    schedule: Schedule = Field(
        "linear", description="of the rate in target fitting, after the warm-up (onecycle: with it)"
    )
    average: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="decay per step of the averaged weights that are scored in fitting; 0: none",
    )
    loss: Literal["task", "ranking"] = Field(
        "task", description="fitted: the task's own loss, or the metric that ranks"
    )
    augment: Augment = Field(
        "none",
        description="training samples moved by the equation's symmetries; galilean: and by frames",
    )
    canonical: bool = Field(
        False,
        description="periodic fields are seen with their crest in the middle, the same way round "
        "and at rest in the mean, and predictions moved back; other tasks as they are",
    )
    clip_grad_norm: float | None = Field(1.0, gt=0, description="largest norm; null: no limit")
    layers: int | None = Field(None, ge=1, description="encoder layers kept; null: all")
    encoder: Encoder = Field(
        "all", description="what of it learns in fitting; lora: low-rank adapters of its attention"
    )
    lora_rank: int = Field(8, ge=1, description="of the adapters")
    max_tokens: int = Field(64, ge=1, description="longest token sequence made of an input")
    patches: Patches = Field(
        "xavier",
        description="scale at which the patch projection starts: of a linear map (`xavier`), of a "
        "`convolution`, or as public code has it, with Swin's channels repeated unscaled "
        "(`published`) or all drawn anew (`redrawn`)",
    )
    amplitude: bool = Field(True, description="a linear path past the LayerNorm of the embedder")
    overlap: float = Field(
        0.0, ge=0, le=1, description="share of its side that a patch reaches over each edge"
    )
    stem: Stem = Field("none", description="over the whole field, before it is cut into patches")
    padding: Padding = Field(
        "periodic",
        description="what overlapping patches, stem and refine see beyond an edge: what comes "
        "round, on axes that are periodic in the equation, or zeros",
    )
    dense_head: DenseHead = Field("learned", description="of dense tasks: from tokens to fields")
    refine: bool = Field(
        False, description="of dense tasks: convolutions over the decoded field and the input"
    )
    residual: bool = Field(
        False, description="of dense tasks: the network adds to the input, or to its last frame"
    )
    base: Base = Field("mean", description="of fields: what the network learns the residual of")
    base_seen: bool = Field(
        False, description="the network reads what the base says, as channels behind its input"
    )
    samples: int | None = Field(
        None, ge=10, description="most samples used of a task's files; null: all"
    )
    train_samples: int | None = Field(
        None,
        ge=2,
        description="most samples learned from, drawn by the seed of the cell; validation and test "
        "stay as they are; null: all",
    )
    resolution: int | None = Field(
        None, ge=4, description="points per axis of a task's fields; null: its own"
    )
    precision: Precision = Field("float32", description="of the forward pass")
    compile: bool = Field(False, description="compile the forward pass of training")

    @property
    def sees_base(self) -> bool:
        """Whether the network reads its base; the mean is the same for all samples."""
        return self.base_seen and self.base != "mean"

    @property
    def wraps(self) -> bool:
        """Whether something looks beyond the edges of fields, and sees what comes round."""
        return self.padding == "periodic" and "padding" not in idle_fields(self.model_dump())

    def stated(
        self, ignored: Collection[str], own: Collection[str] = frozenset()
    ) -> dict[str, Any]:
        """Return the fields as a cell has them, without those that say nothing about it.

        Args:
            ignored: Those of no concern to its method.
            own: Those that are said of the method alone.
        """
        fields = self.model_dump(mode="json")
        silent = {*ignored, *idle_fields(fields)}
        if self.train_samples is None and "train_samples" not in own:
            # As in cells of before this field, so that their ids stay.
            silent.add("train_samples")
        return {name: value for name, value in fields.items() if name not in silent}

    def without(self, ignored: Collection[str]) -> Recipe:
        """Return the recipe with some fields at their defaults: those of no concern to a method."""
        return self.model_copy(update={f: type(self).model_fields[f].default for f in ignored})


def idle_fields(recipe: Mapping[str, Any]) -> frozenset[str]:
    """Return the fields of a recipe that say nothing beside the others.

    What lies beyond the edges of fields is one, where nothing looks there.
    """
    looks = recipe.get("overlap") or recipe.get("stem", "none") != "none" or recipe.get("refine")
    return frozenset() if looks else frozenset({"padding"})
