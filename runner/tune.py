"""The fan-out: Ray Tune opens a slot as a trial; in it a warm process serves cell after cell."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import runner.cluster  # noqa: F401  (sets Ray's environment before Ray is imported)

# isort: split
from ray import tune
from ray.tune.search import Searcher

from runner.board import Board
from runner.needs import Needs

# The driver of a cell with workers only waits, on the head node; its workers ask for their own
# resources. Tune does not take an empty request, so it asks for a sliver of the node.
_SLIVER = {"node:__internal_head__": 0.001}


class _Slot(tune.Trainable):
    """A warm process: torch, the backbone and the prepared data stay loaded between cells."""

    def setup(self, config: dict[str, Any]) -> None:
        self._config = config

    def step(self) -> dict[str, Any]:
        # Imported here: a slot that is not needed any more goes without torch.
        from runner.slot import serve

        count = serve(**self._config)
        return {"cells": count, tune.result.DONE: True}


class _Slots(Searcher):
    """Proposes the slots that the desk wants, as trials."""

    def __init__(self, board: Board, common: dict[str, Any]) -> None:
        super().__init__(metric="cells", mode="max")
        self._board, self._common = board, common

    def suggest(self, trial_id: str) -> Any:
        needs = self._board.next_slot(trial_id)
        if needs is None:
            return None
        if needs == "over":
            return Searcher.FINISHED
        return {**self._common, "board": self._board, "slot_id": trial_id, "needs": asdict(needs)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._board.lost(trial_id, "The process of the cell was lost.", "infra")

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the ledger is the truth."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing."""


def _resources(config: dict[str, Any]) -> Any:
    needs = Needs(**config["needs"])
    return tune.PlacementGroupFactory([needs.bundle if needs.workers == 1 else _SLIVER])


def fan_out(board: Board, storage: str, common: dict[str, Any]) -> None:
    """Open slots until the desk wants none any more; what becomes of the cells, the desk knows.

    Args:
        board: The desk.
        storage: Folder or URI for Ray's own files, which nobody reads.
        common: Arguments of `runner.slot.serve` that all slots share.
    """
    tuner = tune.Tuner(
        tune.with_resources(_Slot, _resources),
        tune_config=tune.TuneConfig(
            search_alg=_Slots(board, common), num_samples=-1, trial_dirname_creator=_slot_id
        ),
        run_config=tune.RunConfig(
            name="slots",
            storage_path=storage,
            verbose=0,
            # The cells' own checkpoints are in the ledger; Tune has nothing to keep.
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    tuner.fit()


def _slot_id(trial: Any) -> str:
    return str(trial.trial_id)
