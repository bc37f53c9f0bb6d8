"""Where running cells leave a note about their progress and the driver reads it."""

from __future__ import annotations

from typing import Any

import ray

from xmft.session import Progress


class _Notes:
    """The actor behind `Board`; holds the latest note of every cell."""

    def __init__(self) -> None:
        self._notes: dict[str, Progress] = {}

    def put(self, cell_id: str, progress: Progress) -> None:
        self._notes[cell_id] = progress

    def take(self) -> dict[str, Progress]:
        return dict(self._notes)


class Board:
    """Handle to one small actor; survives being sent to workers.

    Losing the actor loses the display, never a result.
    """

    def __init__(self) -> None:
        self._actor: Any = ray.remote(num_cpus=0)(_Notes).remote()

    def update(self, cell_id: str, progress: Progress) -> None:
        """Leave a note without waiting."""
        self._actor.put.remote(cell_id, progress)

    def read(self) -> dict[str, Progress]:
        """Return the latest note of every cell; empty if the actor does not answer."""
        try:
            notes: dict[str, Progress] = ray.get(self._actor.take.remote(), timeout=2)
        except (ray.exceptions.RayError, TimeoutError):
            return {}
        return notes
