"""Ray's side of the desk: one small actor, and the handle that is sent around."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import ray

from runner.desk import Desk, Job, News
from runner.needs import Needs, Node

if TYPE_CHECKING:
    from xmft.session import Progress

NAMESPACE = "xmft"
# Long enough for a busy head node; what takes longer has gone.
_ANSWER_S = 30.0


class Board:
    """Handle to the desk of a run, found by its name: cheap to send to any process.

    Calls raise a `ray.exceptions.RayError` where the desk is gone, or does not answer.
    """

    def __init__(self, run: str) -> None:
        """Point at the desk of a run."""
        self.run = run

    @classmethod
    def open(cls, run: str, nodes: Sequence[Node], *, most: int | None) -> Board:
        """Start the desk of a run in this process's cluster; the arguments are those of `Desk`."""
        board = cls(run)
        # It lives as long as this handle, and no longer than the process that opened it.
        options = {"num_cpus": 0, "name": run, "namespace": NAMESPACE}
        board._actor = ray.remote(Desk).options(**options).remote(list(nodes), most=most)
        ray.get(board._actor.stopping.remote(), timeout=4 * _ANSWER_S)
        return board

    @cached_property
    def _actor(self) -> Any:
        return ray.get_actor(self.run, namespace=NAMESPACE)

    def __getstate__(self) -> dict[str, Any]:
        return {"run": self.run}

    def update(self, cell_id: str, progress: Progress) -> None:
        """Leave a note about a cell, without waiting."""
        note = (progress.stage, progress.step, progress.steps, progress.losses, progress.account)
        self._actor.note.remote(cell_id, note)

    def take(self, slot_id: str) -> Job | Literal["wait"] | None:
        """See `Desk.take`."""
        place = (ray.get_runtime_context().get_node_id(), os.getpid())
        return self._ask("take", slot_id, place)

    def beat(self, slot_id: str) -> tuple[bool, float, float]:
        """See `Desk.beat`."""
        answer: tuple[bool, float, float] = self._ask("beat", slot_id)
        return answer

    def stopping(self) -> bool:
        """See `Desk.stopping`."""
        return bool(self._ask("stopping"))

    def done(self, slot_id: str, outcome: Mapping[str, Any]) -> None:
        """See `Desk.done`."""
        self._ask("done", slot_id, dict(outcome))

    def lost(self, slot_id: str, reason: str, failure: str) -> None:
        """See `Desk.lost`."""
        self._ask("lost", slot_id, reason, failure)

    def next_slot(self, slot_id: str) -> Needs | Literal["over"] | None:
        """See `Desk.next_slot`."""
        return self._ask("next_slot", slot_id)

    def bring(self, needs: Needs, jobs: Sequence[Job]) -> None:
        """See `Desk.bring`."""
        self._ask("bring", needs, list(jobs))

    def announce(self, to_come: Mapping[Needs, int], *, more: bool) -> None:
        """See `Desk.announce`."""
        self._ask("announce", dict(to_come), more)

    def set_nodes(self, nodes: Sequence[Node]) -> None:
        """See `Desk.set_nodes`."""
        self._ask("set_nodes", list(nodes))

    def stop(self) -> None:
        """See `Desk.stop`."""
        self._ask("stop")

    def finish(self) -> None:
        """See `Desk.close`."""
        self._ask("close")

    def news(self) -> News:
        """See `Desk.news`."""
        news: News = self._ask("news")
        return news

    def _ask(self, name: str, *arguments: Any) -> Any:
        return ray.get(getattr(self._actor, name).remote(*arguments), timeout=_ANSWER_S)
