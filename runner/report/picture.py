"""What a picture shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from runner.storage import path_of
from xmft.examples import Fields


@dataclass(frozen=True, kw_only=True)
class Row:
    """One method's prediction of one test sample; fields are `[channels, *grid]`.

    Attributes:
        label: What the method is called.
        seed: Seed of the cell.
        metric: Main metric of the task.
        score: Its value over the whole test split.
        inputs: What the method was given.
        target: What it had to predict.
        prediction: What it predicted.
    """

    label: str
    seed: int
    metric: str
    score: float
    inputs: Fields
    target: Fields
    prediction: Fields

    def nrmse(self, channel: int | None = None) -> float:
        """Return the relative L2 error of this sample, of one channel if one is given."""
        which = slice(None) if channel is None else channel
        return relative_error(self.prediction[which], self.target[which])


def relative_error(prediction: Fields, target: Fields) -> float:
    """Return the L2 norm of the error divided by that of the truth, over all points."""
    truth = target.astype(np.float64)
    error = float(np.linalg.norm(prediction - truth))
    return error / max(float(np.linalg.norm(truth)), 1e-30)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What several methods make of one sample of a task.

    Attributes:
        task: Name of the task.
        origin: Of the data.
        protocol: Of the cells.
        sample: Place in the test split.
        stride: Every how many grid points are shown.
        channels: Names of the channels of the target.
        rows: The methods, best score first; at least one.
        chosen: Why this sample is shown, in words; empty if it was asked for by number.
    """

    task: str
    origin: str
    protocol: str
    sample: int
    stride: int
    channels: tuple[str, ...]
    rows: tuple[Row, ...]
    chosen: str = ""

    @property
    def path(self) -> str:
        """The file, relative to the folder of figures."""
        return path_of(f"{self.task}-{self.origin}-{self.protocol}.png")
