"""What a method is given: a task, its data in three splits, and the recipe to train by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["dense", "classification", "multilabel"]
Origin = Literal["official", "generated", "miniature"]
Protocol = Literal["clean", "released"]
Precision = Literal["float32", "bfloat16"]
DenseHead = Literal["learned", "published"]
_Decay = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True, kw_only=True)
class Task:
    """What has to be learned, without the data.

    Attributes:
        name: `suite/name`, with the variant if there is one (`pdebench/darcy:beta1.0`).
        version: Raised when the same name starts to mean other numbers; part of the cell id.
        title: One line for people.
        kind: `dense` (field to field, targets `[n, channels, *grid]` float32), `classification`
            (targets `[n]` int64) or `multilabel` (targets `[n, labels]` float32 of 0 and 1).
        loss: Name in `xmft.metrics.losses`.
        metrics: Names in `xmft.metrics.metrics`; the first one is what leaderboards rank by and
            what `best_val` selects on.
        classes: Number of classes or of labels, None for dense tasks.
    """

    name: str
    version: int
    title: str
    kind: Kind
    loss: str
    metrics: tuple[str, ...]
    classes: int | None = None

    @property
    def suite(self) -> str:
        """The part of the name before the slash."""
        return self.name.split("/", 1)[0]


@dataclass(frozen=True, kw_only=True)
class Split:
    """Samples of one split; arrays may be memory-mapped and must not be written to.

    Attributes:
        inputs: float32 `[n, channels, *grid]` with one or two grid axes, in physical units
            unless the protocol scales them.
        targets: float32 `[n, channels, *grid]` for dense tasks, int64 `[n]` for classification,
            float32 `[n, labels]` of 0 and 1 for several labels.
    """

    inputs: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32] | npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """A task with its three disjoint splits.

    Attributes:
        origin: Where the samples come from; never mixed within one table.
        fingerprint: Identity of the content and of how it was cut; part of the cell id.
        source: For messages and records: the file, or how it was generated.
        floor: Relative L2 error that a perfect solver would score against the targets, which are
            themselves not exact; None: not known.
        floor_note: Where the floor comes from, for people.
    """

    task: Task
    train: Split
    val: Split
    test: Split
    origin: Origin
    fingerprint: str
    source: str
    floor: float | None = None
    floor_note: str = ""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One value of a training curve; `epoch` counts over all stages from 1."""

    epoch: int
    split: str
    name: str
    value: float


class Recipe(BaseModel):
    """How long and how fast to train, and how the data are cut; part of the cell id.

    The batch is global: with several workers each takes `batch_size / workers` samples.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    epochs: int = Field(20, ge=1, description="epochs of target fitting")
    batch_size: int = Field(16, ge=1, description="global batch of target fitting")
    learning_rate: float = Field(5e-4, gt=0, description="peak rate of target fitting")
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    weight_decay: float = Field(1e-2, ge=0, description="decoupled with adamw, L2 with the others")
    betas: tuple[_Decay, _Decay] = Field((0.9, 0.98), strict=False, description="of adamw and adam")
    momentum: _Decay = Field(0.9, description="of sgd")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps spent on warm-up")
    clip_grad_norm: float | None = Field(1.0, gt=0)
    layers: int | None = Field(None, ge=1, description="encoder layers kept; null: all")
    max_tokens: int = Field(64, ge=1, description="longest token sequence made of an input")
    dense_head: DenseHead = Field("learned", description="of dense tasks: from tokens to fields")
    samples: int | None = Field(None, ge=10, description="most samples used; null: all")
    resolution: int | None = Field(None, ge=4, description="points per axis; null: the task's own")
    precision: Precision = Field("float32", description="of the forward pass")
    compile: bool = Field(False, description="compile the forward pass of training")
