"""TensorBoard event files beside the ledger."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from runner.cell import Cell
from runner.ledger import Ledger
from runner.loggers.record import facts as facts_of
from runner.storage import Storage, path_of
from xmft.errors import XmftError
from xmft.session import Progress

logger = logging.getLogger(__name__)


class EventLog:
    """Losses of one cell under `tensorboard/<task>/<method>/<seed>/<cell_id>/`.

    TensorBoard takes all files of a folder for one run, so every cell has its own, and no more
    than one file: a cell that goes on takes over what the earlier attempt wrote, up to where it
    goes on itself. The run says which cell it is, as text and as hyperparameters.

    Event files are appended to in place, which object stores cannot do: there, the whole file is
    written with every checkpoint and at the end of a stage.
    """

    def __init__(self, ledger: Ledger, cell: Cell) -> None:
        """Prepare; the folder appears with the first value."""
        self._cell = cell
        run = f"tensorboard/{path_of(cell.task)}/{path_of(cell.method)}/{cell.seed}/{cell.id}"
        self._shown, self._told = ledger.storage.shown_of(run), ledger.storage.told
        self._file: _LocalFile | _StoredFile | None = (
            _StoredFile(ledger.storage, run)
            if ledger.local_root is None
            else _LocalFile(ledger.local_root / run)
        )

    def write(self, progress: Progress) -> None:
        """Append the losses of a finished epoch; the step counts batches within the stage.

        Where that fails the log ends, with a warning. A file that somebody deletes is followed by
        a new one.
        """
        stage, step, now = progress.stage, progress.step, time.time()
        scalars = (
            _Scalar(f"{stage}/{name}", step, value, now) for name, value in progress.losses.items()
        )

        def append(file: _LocalFile | _StoredFile) -> None:
            if not file.is_there():
                file.begin(self._first(file.earlier(), progress))
            file.append(map(_event_of, scalars))
            if step == progress.steps:
                file.flush()

        self._try(append)

    def flush(self) -> None:
        """Make sure of what was written so far: a checkpoint goes on from here."""
        self._try(lambda file: file.flush() if file.is_there() else None)

    def _try(self, what: Callable[[_LocalFile | _StoredFile], None]) -> None:
        if self._file is None:
            return
        try:
            what(self._file)
        except (OSError, XmftError) as error:
            logger.warning(
                "TensorBoard's file in %s cannot be written (%s). The cell goes on without; its "
                "curves are in the ledger all the same.",
                self._shown,
                self._told(error),
            )
            self._file = None

    def _first(self, earlier: Iterable[bytes], progress: Progress) -> Iterator[bytes]:
        """Yield all that the cell knows before its first losses."""
        from torch.utils.tensorboard.summary import hparams, text

        facts = dict(facts_of(json.loads(self._cell.config_json)))
        lines = ["| | |", "| --- | --- |", f"| cell | {self._cell.id} |"]
        lines += [f"| {name} | {value} |" for name, value in facts.items()]
        now = time.time()
        yield _event(now, file_version="brain.Event:2")
        for summary in (text("cell", "\n".join(lines)), *hparams(facts, {})[:2]):
            yield _event(now, summary=summary)
        yield from map(_event_of, _before(progress, _scalars(earlier)))


def _new_name() -> str:
    # As TensorBoard's own writer names it. That one has a thread, which prints its errors.
    unique = f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
    return f"events.out.tfevents.{int(time.time()):010d}.{unique}"


class _LocalFile:
    """One event file in a folder of a file system, which grows in place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None

    def is_there(self) -> bool:
        return self._path is not None and self._path.exists()

    def earlier(self) -> list[bytes]:
        """Return what files of earlier attempts hold."""
        return [path.read_bytes() for path in self._paths()]

    def begin(self, events: Iterable[bytes]) -> None:
        """Start a new file in place of those of earlier attempts."""
        earlier = self._paths()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / _new_name()
        self.append(events)
        for old in earlier:  # not before the new file has what they hold
            old.unlink(missing_ok=True)

    def append(self, events: Iterable[bytes]) -> None:
        assert self._path is not None
        with self._path.open("ab") as file:
            file.write(_records(events))

    def flush(self) -> None:
        """Do nothing: it is there."""

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("events.*")) if self._folder.is_dir() else []


class _StoredFile:
    """One event file in a folder of an object store, which is written as a whole."""

    def __init__(self, storage: Storage, folder: str) -> None:
        self._storage, self._folder = storage, folder
        self._name = ""
        self._content = b""
        self._old: list[str] = []

    def is_there(self) -> bool:
        return bool(self._name)

    def earlier(self) -> list[bytes]:
        """Return what files of earlier attempts hold."""
        self._old = sorted(
            name for name in self._storage.names(self._folder) if name.startswith("events.")
        )
        found = (self._storage.read(f"{self._folder}/{name}") for name in self._old)
        return [content.to_pybytes() for content in found if content is not None]

    def begin(self, events: Iterable[bytes]) -> None:
        """Start a new file in place of those of earlier attempts."""
        self._name = _new_name()
        self.append(events)

    def append(self, events: Iterable[bytes]) -> None:
        self._content += _records(events)

    def flush(self) -> None:
        self._storage.write(f"{self._folder}/{self._name}", self._content)
        while self._old:  # not before the new file has what they hold
            self._storage.delete(f"{self._folder}/{self._old.pop()}")


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


def _records(events: Iterable[bytes]) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in events:
        writer.write(event)
    return buffer.getvalue()


def _scalars(contents: Iterable[bytes]) -> Iterator[_Scalar]:
    """Yield what event files hold, in their order; a file that was cut short ends early."""
    for content in contents:
        # Here: most cells have no earlier file, and the import takes its time.
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

        with tempfile.NamedTemporaryFile() as file:  # TensorBoard reads files alone
            file.write(content)
            file.flush()
            for event in LegacyEventFileLoader(file.name).Load():
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
