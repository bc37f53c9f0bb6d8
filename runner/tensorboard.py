"""TensorBoard event files beside the ledger."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from runner.cell import Cell
from runner.ledger import Ledger
from runner.storage import path_of
from xmft.session import Progress

logger = logging.getLogger(__name__)


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
        self._path: Path | None = None
        self._cell = cell
        self._folder = None
        if ledger.local_root is not None:
            task, method = path_of(cell.task), path_of(cell.method)
            run = Path(task) / method / str(cell.seed) / cell.id
            self._folder = ledger.local_root / "tensorboard" / run

    def write(self, progress: Progress) -> None:
        """Append the losses of a finished epoch; the step counts batches within the stage.

        Where that fails the log ends, with a warning. A file that somebody deletes is followed by
        a new one.
        """
        if self._folder is None:
            return
        try:
            if self._path is None or not self._path.exists():
                self._path = self._begun(self._folder, progress)
            stage, step, now = progress.stage, progress.step, time.time()
            scalars = (
                _Scalar(f"{stage}/{name}", step, value, now)
                for name, value in progress.losses.items()
            )
            _append(self._path, map(_event_of, scalars))
        except OSError as error:
            logger.warning(
                "TensorBoard's file in %s cannot be written (%s). The cell goes on without; its "
                "curves are in the ledger all the same.",
                self._folder,
                error,
            )
            self._folder = None

    def _begun(self, folder: Path, first: Progress) -> Path:
        """Start a new file with all that the cell knows before its first losses."""
        from torch.utils.tensorboard.summary import hparams, text

        earlier = sorted(folder.glob("events.*")) if folder.is_dir() else []
        scalars = list(_before(first, _scalars(earlier)))
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        # As TensorBoard's own writer names it. That one has a thread, which prints its errors.
        unique = f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        path = folder / f"events.out.tfevents.{int(now):010d}.{unique}"
        facts = dict(_facts(json.loads(self._cell.config_json)))
        lines = ["| | |", "| --- | --- |", f"| cell | {self._cell.id} |"]
        lines += [f"| {name} | {value} |" for name, value in facts.items()]
        summaries = [text("cell", "\n".join(lines)), *hparams(facts, {})[:2]]
        begin = [
            _event(now, file_version="brain.Event:2"),
            *(_event(now, summary=summary) for summary in summaries),
        ]
        _append(path, [*begin, *map(_event_of, scalars)])
        for old in earlier:  # not before the new file has what they hold
            old.unlink(missing_ok=True)
        return path


class _Scalar(NamedTuple):
    tag: str
    step: int
    value: float
    time: float


def _event_of(scalar: _Scalar) -> bytes:
    from torch.utils.tensorboard.summary import scalar as summary

    return _event(scalar.time, step=scalar.step, summary=summary(scalar.tag, scalar.value))


def _event(when: float, **content: Any) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event

    event: Any = Event(wall_time=when, **content)
    return bytes(event.SerializeToString())


def _append(path: Path, events: Iterable[bytes]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    with path.open("ab") as file:
        writer = RecordWriter(file)
        for event in events:
            writer.write(event)


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
