"""What a method is given: a task and its data in three splits, which check themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from xmft.arrays import Ragged, Windows
from xmft.curves import CurvePoint
from xmft.errors import DataError
from xmft.recipe import DenseHead, Precision, Recipe
from xmft.split import Split, as_split, check_finite, content_hash
from xmft.symmetries import Galilean, Symmetries, check_shapes

if TYPE_CHECKING:
    from xmft.samples import Decoded, Draws, Pieces

__all__ = [
    "CurvePoint",
    "DenseHead",
    "Galilean",
    "Kind",
    "Origin",
    "Pool",
    "Precision",
    "Protocol",
    "Ragged",
    "Recipe",
    "Split",
    "Symmetries",
    "Task",
    "TaskData",
    "Windows",
]

Kind = Literal["dense", "classification", "multilabel"]
Origin = Literal["official", "generated", "miniature"]
Protocol = Literal["clean", "released"]
Pool = Literal["mean", "vote", "stitch"]
Pair = tuple[npt.ArrayLike, npt.ArrayLike]
"""Inputs and targets."""

_LOSS = {
    "dense": "nrmse",
    "classification": "cross_entropy",
    "multilabel": "binary_cross_entropy",
}
_METRICS: dict[str, tuple[str, ...]] = {
    "dense": ("nrmse", "nrmse_pdebench", "rmse"),
    "classification": ("error_pct",),
    "multilabel": ("average_precision", "auroc", "label_error_pct"),
}
_NAMES = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class Task:
    """What has to be learned, without the data.

    Attributes:
        name: `suite/name`, with the variant if there is one (`pdebench/darcy:beta1.0`).
        version: Raised when the same name starts to mean other numbers; part of the cell id.
        title: One line for people.
        kind: `dense` (field to field, targets `[n, channels, *grid]` float32), `classification`
            (targets `[n]` int64) or `multilabel` (targets `[n, labels]` float32 of 0 and 1).
        loss: Name in `xmft.metrics.LOSSES`.
        metrics: Names in `xmft.metrics.METRICS`; the first one is what leaderboards rank by and
            what `best_val` selects on.
        classes: Number of classes or of labels, None for dense tasks.
        channels: Names of the channels of the targets; empty where there is but one.
        pool: How the predictions for the rows of a group are put together before they are scored:
            mean of the logits, vote of the likeliest classes, or windows stitched to the sample;
            None: every row is scored for itself.
        symmetries: Of the equation that a dense task comes from; None: there are none.
        continues: Whether the last channels of a dense task's inputs are what its targets are, an
            earlier frame of them; false: another quantity, to which nothing can be added.
    """

    name: str
    version: int
    title: str
    kind: Kind
    loss: str
    metrics: tuple[str, ...]
    classes: int | None = None
    channels: tuple[str, ...] = ()
    pool: Pool | None = None
    symmetries: Symmetries | None = None
    continues: bool = True

    @property
    def suite(self) -> str:
        """The part of the name before the slash."""
        return self.name.split("/", 1)[0]


@dataclass(frozen=True, kw_only=True)
class TaskData:
    """A task with its three disjoint splits.

    Attributes:
        origin: Where the samples come from; never mixed within one table.
        fingerprint: Identity of the content and of how it was cut; part of the cell id.
        source: For messages and records: the file, or how it was generated.
        floor: Relative L2 error that a perfect solver would score against the targets, which are
            themselves not exact, measured elsewhere; None: not known. See `xmft.floor`.
        floor_note: Where the floor comes from, for people.
        perfect: What a perfect solver predicts for the test samples, shaped like their targets;
            where it is known it is scored instead.
        decode: From a batch as it is stored to floating point, on the device; None: the stored
            arrays are what the model sees.
        augment: Changes a decoded batch of training, by the random numbers it is given alone;
            never used at scoring.
        checked: Whether the values were looked at; data that were not are before training.
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
    perfect: npt.NDArray[np.float32] | None = None
    decode: Callable[[Pieces], Decoded] | None = None
    augment: Callable[[Decoded, Draws], Decoded] | None = None
    checked: bool = False

    def __post_init__(self) -> None:
        if self.task.kind != "dense" and self.task.classes is None:
            raise DataError(f"{self.task.name}: a {self.task.kind} task must say how many classes.")
        for name, split in self.splits.items():
            self._check_structure(name, split)
        known, x, y = self.task.symmetries, self.train.inputs, self.train.targets
        if (
            known
            and self.decode is None
            and not isinstance(x, Ragged)
            and not isinstance(y, Ragged)
        ):
            check_shapes(self.task.name, known, x.shape[1:], y.shape[1:])

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def without_test(self) -> TaskData:
        """Return the data with those of validation in the place of the test split."""
        return replace(self, test=self.val, floor=None, perfect=None)

    @classmethod
    def from_arrays(
        cls,
        name: str,
        *,
        train: Pair,
        test: Pair,
        val: Pair | None = None,
        kind: Kind | None = None,
        classes: int | None = None,
        title: str = "",
        loss: str | None = None,
        metrics: tuple[str, ...] | None = None,
        channels: tuple[str, ...] = (),
    ) -> TaskData:
        """Make a task of arrays of your own.

        Args:
            name: `suite/name`.
            train: Inputs `[n, channels, *grid]` (`[n, length]` is one channel) and targets:
                `[n, channels, *grid]` or `[n, *grid]` fields, `[n]` whole numbers from 0 for
                classes, `[n, labels]` of 0 and 1 for several labels.
            test: The same for the test; never looked at before the end.
            val: The same for validation; None: every tenth sample of `train` is held out.
            kind: Kind of task; None: classification for `[n]` whole numbers, otherwise dense.
            classes: Number of classes or labels; None: counted in `train`.
            title: One line for people.
            loss: Name of a loss; None: the usual one of the kind.
            metrics: Names of metrics, the main one first; None: the usual ones of the kind.
            channels: Names of the channels of the targets.

        Raises:
            DataError: the arrays do not fit one another, or hold values that cannot be used.
        """
        targets = np.asarray(train[1])
        if kind is None:
            kind = (
                "classification" if targets.ndim == 1 and targets.dtype.kind in "iub" else "dense"
            )
        if val is None:
            held = np.arange(len(targets)) % 10 == 9
            val = np.asarray(train[0])[held], targets[held]
            train = np.asarray(train[0])[~held], targets[~held]
        if classes is None and kind != "dense":
            classes = int(targets.max()) + 1 if kind == "classification" else targets.shape[-1]
        splits = {
            split: as_split(kind, np.asarray(x), np.asarray(y))
            for split, (x, y) in (("train", train), ("val", val), ("test", test))
        }
        task = Task(
            name=name,
            version=1,
            title=title or name,
            kind=kind,
            loss=loss or _LOSS[kind],
            metrics=metrics or _METRICS[kind],
            classes=classes,
            channels=channels,
        )
        made = cls(
            task=task,
            train=splits["train"],
            val=splits["val"],
            test=splits["test"],
            origin="official",
            fingerprint=content_hash(*splits.values()),
            source=f"arrays given as {name}",
        )
        made.check_values()
        return replace(made, checked=True)

    def check_values(self) -> None:
        """Look at every stored value.

        Raises:
            DataError: some are NaN, infinite or marks of what is missing, or labels no class.
        """
        for name, split in self.splits.items():
            for part in ("inputs", "targets", "weights"):
                array = getattr(split, part)
                # Where targets have weights, what has none may be any number.
                marks = part == "inputs" or (part == "targets" and split.weights is None)
                what = f"{self.task.name}: the {_NAMES[name]} {part}"
                if array is not None:
                    check_finite(array, what, self.source, marks=marks)
        self.check_labels()

    def check_labels(self) -> None:
        """Look at the labels; tasks without any pass.

        Raises:
            DataError: a label is none of the task's classes, or of another type.
        """
        task = self.task
        if task.kind == "dense" or task.classes is None:
            return
        shape: tuple[int, ...]
        allowed: tuple[int, ...] | range
        if task.kind == "multilabel":
            shape, types, allowed = (task.classes,), "f" if self.decode is None else "fiub", (0, 1)
            wanted = f"0 or 1, in floating point, for each of {task.classes} labels"
        else:
            shape, types, allowed = (), "iu", range(task.classes)
            wanted = f"one integer from 0 to {task.classes - 1} for each sample"
        for name, split in self.splits.items():
            if isinstance(split.targets, Ragged):
                continue
            labels = np.asarray(split.targets)
            wrong = labels[~np.isin(labels, allowed)]
            if labels.shape[1:] != shape or labels.dtype.kind not in types or wrong.size:
                one = f", such as {wrong[0]}," if wrong.size else ""
                raise DataError(
                    f"{task.name}: found {_NAMES[name]} labels of type {labels.dtype} and shape "
                    f"{labels.shape}{one} but expected {wanted}. Check {self.source}."
                )

    def _check_structure(self, name: str, split: Split) -> None:
        inputs, reference = split.inputs, self.train.inputs
        if not len(split):
            raise DataError(f"{self.task.name}: the {_NAMES[name]} split is empty.")
        if isinstance(inputs, Ragged) or isinstance(reference, Ragged):
            ragged = isinstance(inputs, Ragged) and isinstance(reference, Ragged)
            alike, usable = ragged, self.decode is not None
        else:
            alike = inputs.shape[1:] == reference.shape[1:] or (
                split.windows is not None and inputs.ndim == reference.ndim
            )
            usable = self.decode is not None or (
                inputs.ndim in (3, 4) and inputs.dtype == np.float32
            )
        if not alike:
            raise DataError(
                f"{self.task.name}: the {_NAMES[name]} inputs have another shape than those of "
                "training; all splits need the same."
            )
        if not usable:
            found = "ragged values" if isinstance(inputs, Ragged) else f"{inputs.dtype} of shape "
            shape = "" if isinstance(inputs, Ragged) else inputs.shape
            raise DataError(
                f"{self.task.name}: the {_NAMES[name]} inputs are {found}{shape}, expected float32 "
                "[n, channels, length] or [n, channels, height, width]. Convert them, or give the "
                "task a `decode`."
            )
