"""TensorBoard event files beside the ledger."""

from __future__ import annotations

from typing import Any

from runner.cell import Cell
from runner.ledger import Ledger
from runner.storage import path_of
from xmft.session import Progress


class EventLog:
    """Losses of one cell under `tensorboard/<task>/<method>/<seed>/`.

    Event files are appended to in place, which object stores cannot do: there, nothing is
    written and the curves are in the ledger all the same.
    """

    def __init__(self, ledger: Ledger, cell: Cell) -> None:
        """Prepare; the folder appears with the first value."""
        self._writer: Any = None
        self._folder = None
        if ledger.local_root is not None:
            task, method = path_of(cell.task), path_of(cell.method)
            self._folder = ledger.local_root / "tensorboard" / task / method / str(cell.seed)

    def write(self, progress: Progress) -> None:
        """Append the losses of a finished epoch; the step counts batches within the stage."""
        if self._folder is None:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder))
        for name, value in progress.losses.items():
            self._writer.add_scalar(f"{progress.stage}/{name}", value, progress.step)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file; its writer has a thread of its own."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
