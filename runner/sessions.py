"""Sessions that tell the driver how far a cell is and keep its checkpoint in the ledger."""

from __future__ import annotations

import io
import logging
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from runner import stops
from runner.cell import Cell
from runner.failures import CellTimeoutError
from runner.ledger import Ledger, LedgerError
from runner.loggers.tensorboard import EventLog
from xmft.session import Progress, Request, Session

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from runner.board import Board

# Losing this much work is no loss. Where a checkpoint takes long to write (large models, slow
# storage) they come less often, so that writing stays a twentieth of the time.
_CHECKPOINT_EVERY_S = 3.0
_CHECKPOINT_SHARE = 1 / 20
# Within an epoch: an epoch's end gives a better place, if it comes soon.
_WITHIN_EPOCH_EVERY_S = 60.0
# Where a checkpoint cannot be written: when to try again, at first and at most.
_RETRY_S, _RETRY_AT_MOST_S = 15.0, 300.0
_REPORT_EVERY_S = 0.3
# Version 1 booked times by the names of stages, version 2 knew no place within an epoch.
_CHECKPOINT_VERSION = 3


class CellSession(Session):
    """One worker that trains alone."""

    def __init__(
        self,
        cell: Cell,
        results: str,
        device: torch.device,
        board: Board | None,
        timeout_s: float | None,
        *,
        tensorboard: bool = True,
    ) -> None:
        """Prepare for one attempt at `cell`.

        Args:
            cell: The cell.
            results: Path or URI of the ledger.
            device: Where the model lives.
            board: Takes progress for the display; None if nobody looks.
            timeout_s: Most seconds for the cell; None for no limit.
            tensorboard: Whether losses are written for TensorBoard.
        """
        self.device = device
        self._cell = cell
        self._ledger = Ledger(results)
        self._board = board
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._timeout_s = timeout_s
        self._reported = 0.0
        self._losses: dict[str, float] = {}
        self._saved = time.monotonic()
        self._pause_s = _CHECKPOINT_EVERY_S
        self._unsaved = False
        self._restored_from = cell.id
        self._events = EventLog(self._ledger, cell) if tensorboard and self.rank == 0 else None

    @contextmanager
    def preparing(self) -> Iterator[None]:
        """What is inside sends no messages; several workers fail in it together."""
        yield

    def report(self, progress: Progress) -> None:
        """Tell the driver and TensorBoard; stop if the time is up."""
        now = time.monotonic()
        if self._deadline is not None and now > self._deadline:
            raise CellTimeoutError(
                f"{self._cell.label} took longer than {self._timeout_s:.0f} s "
                f"(stage '{progress.stage}', step {progress.step} of {progress.steps})."
            )
        if self.rank:
            return
        if self._events is not None and progress.losses:
            self._events.write(progress)
        self._losses = progress.losses or self._losses
        finished = progress.step == progress.steps
        if self._board is not None and (finished or now - self._reported > _REPORT_EVERY_S):
            self._reported = now
            self._board.update(self._cell.id, replace(progress, losses=self._losses))

    def asked(self) -> Request:
        """Return whether the process was asked to stop, or the last checkpoint is too long ago."""
        if stops.requested():
            return "stop"
        pause = max(self._pause_s, _WITHIN_EPOCH_EVERY_S)
        return "save" if time.monotonic() - self._saved > pause else ""

    def save(self, state: Callable[[], dict[str, Any]], *, force: bool = False) -> None:
        """Write a checkpoint unless the last one is seconds old.

        Where it cannot be written, the training goes on, and a later one is tried.
        """
        if not force and not self._due():
            return
        content, now = state(), time.monotonic()
        if self.rank:
            return
        buffer = io.BytesIO()
        torch.save({"version": _CHECKPOINT_VERSION, "state": content}, buffer)
        if self._events is not None:
            self._events.flush()
        try:
            self._ledger.save_checkpoint(self._cell.id, buffer.getvalue())
        except LedgerError as error:
            self._pause_s = min(max(_RETRY_S, 2 * self._pause_s), _RETRY_AT_MOST_S)
            self._saved = time.monotonic()
            if not self._unsaved:
                logger.warning(
                    "The checkpoint of %s cannot be kept. The training goes on, and later ones are "
                    "tried. %s",
                    self._cell.label,
                    error,
                )
            self._unsaved = True
            return
        self._unsaved = False
        self._saved = time.monotonic()
        self._pause_s = max(_CHECKPOINT_EVERY_S, (self._saved - now) / _CHECKPOINT_SHARE)

    def restore(self) -> dict[str, Any] | None:
        """Read the cell's checkpoint, whoever wrote it and with however many workers.

        A trial without one goes on from where it paused before.

        One that cannot be read, by any of the workers, is set aside.
        """
        payload = saved = None
        why = ""
        try:
            payload = self._ledger.load_checkpoint(self._cell.id)
            if payload is None and self._cell.goes_on_from is not None:
                self._restored_from = self._cell.goes_on_from
                payload = self._ledger.load_checkpoint(self._restored_from)
        except OSError as error:
            why = self._ledger.storage.told(error)
        if payload is not None:
            saved, why = _unpacked(payload)
        read = self.each((why, None if payload is None else zlib.crc32(payload)))
        if reasons := [reason for reason, _ in read if reason]:
            self.set_aside(reasons[0])
            return None
        if len({digest for _, digest in read}) > 1:
            self.set_aside("the workers read different ones")
            return None
        return saved

    def set_aside(self, why: str) -> None:
        """Move the checkpoint to where it does no harm; the cell starts anew."""
        if self.rank:
            return
        place = self._ledger.set_checkpoint_aside(self._restored_from)
        logger.warning(
            "The checkpoint of %s cannot be used (%s). It was %s, and the cell starts anew.",
            self._cell.label,
            why,
            f"moved to {place}" if place else "deleted",
        )

    def _due(self) -> bool:
        return time.monotonic() - self._saved >= self._pause_s


def _unpacked(payload: bytes) -> tuple[dict[str, Any] | None, str]:
    """Return the state in a checkpoint, or why there is none."""
    try:
        saved = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    except Exception as error:  # bytes of any kind make torch raise errors of any kind
        said = next(iter(str(error).splitlines()), "no more is known")
        return None, f"it is no checkpoint: {type(error).__name__}: {said}"
    version = saved.get("version") if isinstance(saved, dict) else None
    if version != _CHECKPOINT_VERSION or not isinstance(saved.get("state"), dict):
        return None, f"it has the version {version!r}, expected {_CHECKPOINT_VERSION}"
    return saved["state"], ""
