"""TensorBoard event files beside the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runner.cell import Cell
from runner.ledger import Ledger
from runner.storage import path_of
from xmft.session import Progress


class EventLog:
    """Losses of one cell under `tensorboard/<task>/<method>/<seed>/<cell_id>/`.

    TensorBoard takes all files of a folder for one run, so every cell has its own, and no more
    than one file: a cell that goes on takes over what the earlier attempt wrote, up to where it
    goes on itself. The run says which cell it is, as text and as hyperparameters.

    Event files are appended to in place, which object stores cannot do: there, nothing is
    written and the curves are in the ledger all the same.
    """

    def __init__(self, ledger: Ledger, cell: Cell) -> None:
        """Prepare; the folder appears with the first value."""
        self._writer: Any = None
        self._cell = cell
        self._folder = None
        if ledger.local_root is not None:
            task, method = path_of(cell.task), path_of(cell.method)
            run = Path(task) / method / str(cell.seed) / cell.id
            self._folder = ledger.local_root / "tensorboard" / run

    def write(self, progress: Progress) -> None:
        """Append the losses of a finished epoch; the step counts batches within the stage."""
        if self._folder is None:
            return
        if self._writer is None:
            self._writer = _opened(self._folder, self._cell, progress)
        for name, value in progress.losses.items():
            self._writer.add_scalar(f"{progress.stage}/{name}", value, progress.step)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file; its writer has a thread of its own."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


class _Scalar(NamedTuple):
    tag: str
    step: int
    value: float
    time: float


def _opened(folder: Path, cell: Cell, first: Progress) -> Any:
    """Return the writer of a new file with all that the cell knows before its first losses."""
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    earlier = sorted(folder.glob("events.*")) if folder.is_dir() else []
    scalars = list(_before(first, _scalars(earlier)))
    writer: Any = SummaryWriter(str(folder))
    facts = dict(_facts(json.loads(cell.config_json)))
    lines = ["| | |", "| --- | --- |", f"| cell | {cell.id} |"]
    lines += [f"| {name} | {value} |" for name, value in facts.items()]
    writer.add_text("cell", "\n".join(lines), 0)
    for summary in hparams(facts, {})[:2]:
        writer.file_writer.add_summary(summary)
    for scalar in scalars:
        writer.add_scalar(scalar.tag, scalar.value, scalar.step, walltime=scalar.time)
    writer.flush()
    for path in earlier:  # not before the new file has what they hold
        path.unlink(missing_ok=True)
    return writer


def _scalars(paths: list[Path]) -> Iterator[_Scalar]:
    """Yield what event files hold, in their order; a file that was cut short ends early."""
    if not paths:
        return
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    for path in paths:
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    yield _Scalar(value.tag, event.step, value.simple_value, event.wall_time)


def _before(first: Progress, scalars: Iterator[_Scalar]) -> Iterator[_Scalar]:
    """Yield the values from before an epoch; a process that died may have been further already."""
    seen: set[tuple[str, int]] = set()
    for scalar in scalars:
        stage = scalar.tag.rpartition("/")[0]
        if stage == first.stage and scalar.step >= first.step:
            return
        if (scalar.tag, scalar.step) not in seen:
            seen.add((scalar.tag, scalar.step))
            yield scalar


def _facts(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a cell's id is the hash of, one value each: `recipe.learning_rate`, ..."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _facts(value, f"{prefix}{name}.")
        else:
            plain = isinstance(value, (int, float, str)) and not isinstance(value, bool)
            yield f"{prefix}{name}", value if plain else json.dumps(value)
