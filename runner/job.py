"""What goes to the process of a cell, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runner.cell import Cell
from runner.needs import Sharding
from runner.usage import Usage
from xmft.floor import Floor
from xmft.records import FitResult


@dataclass(frozen=True, kw_only=True)
class CellJob:
    """What a worker is told about a cell; plain values, every path absolute.

    Attributes:
        config_json: The cell.
        data_root: Folder with the data.
        results: Path or URI of the ledger.
        backbone: Where its backbone is found, a path or a name; None: by the name in the cell.
        problem: Why the data are missing, if they were when the grid was planned.
        workers: Processes that train the cell together.
        sharding: How several workers hold the model.
        invocation: What is written down of how to run the cell again, see the ledger's column.
        timeout_s: Most seconds the cell may take; None for no limit.
        keep_checkpoints: Whether the last checkpoint stays when the cell is done.
        tensorboard: Whether its losses are written for TensorBoard.
    """

    config_json: str
    data_root: str
    results: str
    backbone: str | None = None
    problem: str | None = None
    workers: int = 1
    sharding: Sharding = "ddp"
    invocation: dict[str, Any] | None = None
    timeout_s: float | None = None
    keep_checkpoints: bool = False
    tensorboard: bool = True

    @property
    def cell(self) -> Cell:
        """The cell as an object."""
        return Cell.from_json(self.config_json)


@dataclass(frozen=True, kw_only=True)
class FinishedCell:
    """A finished training with the facts that only the process that trained knows.

    Attributes:
        prepare_s: Seconds spent on the model, the source's artefacts and classes, before stage 1.
        base_s: Seconds spent on the closed form that the model stands on.
        usage: What all workers used.
        floor: What a perfect solver would score on the data, None if unknown.
        channels: What the channels of the targets are called.
    """

    result: FitResult
    origin: str
    params: int
    trainable_params: int
    device: str
    peak_memory_bytes: int | None
    prepare_s: float
    base_s: float = 0.0
    usage: Usage = field(default_factory=Usage)
    floor: Floor | None = None
    channels: tuple[str, ...] = ()
