"""Cells as runs of MLflow."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from runner.loggers.record import CellRecord

_CELL, _ATTEMPT = "xmft.cell", "xmft.attempt"
_AT_ONCE = 1000  # of one request
_PARAMETERS_AT_ONCE = 100
_LONGEST = 500
# A server that is away is not waited for, unless somebody says so.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}


class MlflowRuns:
    """One run for each cell in the experiment `xmft`, or that of MLFLOW_EXPERIMENT_NAME.

    They are in `mlflow/mlflow.db` of the results, or where MLFLOW_TRACKING_URI says.
    """

    def __init__(self, folder: Path | None) -> None:
        """Open the store, or make it.

        Args:
            folder: Of the results; None if it is on an object store.
        """
        for name, value in _PATIENCE.items():
            os.environ.setdefault(name, value)
        import mlflow

        uri = os.environ.get("MLFLOW_TRACKING_URI")
        files = None
        if not uri:
            assert folder is not None, "checked before the run"
            own = folder / "mlflow"
            own.mkdir(parents=True, exist_ok=True)
            uri, files = f"sqlite:///{own / 'mlflow.db'}", (own / "artifacts").as_uri()
        self._client = mlflow.MlflowClient(uri)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "xmft"
        known = self._client.get_experiment_by_name(name)
        self._experiment = (
            self._client.create_experiment(name, artifact_location=files)
            if known is None
            else known.experiment_id
        )

    def known(self) -> dict[str, set[str]]:
        """Return the attempts that are there as a whole, by the ids of their cells."""
        found: dict[str, set[str]] = {}
        token = None
        while True:
            page = self._client.search_runs([self._experiment], "", 1, _AT_ONCE, None, token)
            for run in page:
                if _CELL in run.data.tags and (attempt := _whole(run)):
                    found.setdefault(run.data.tags[_CELL], set()).add(attempt)
            token = page.token
            if not token:
                return found

    def write(self, record: CellRecord) -> None:
        """Write a cell, in place of other attempts at it; nothing if it is there."""
        from mlflow.entities import Metric, Param

        of_cell = f"tags.`{_CELL}` = '{record.cell_id}'"
        is_there = False
        for run in self._client.search_runs([self._experiment], of_cell):
            if not is_there and _whole(run) == record.attempt:
                is_there = True
            else:
                self._client.delete_run(run.info.run_id)
        if is_there:
            return
        begun, ended = (
            int(time.timestamp() * 1000) for time in (record.started_at, record.finished_at)
        )
        tags = {**record.tags, _CELL: record.cell_id, _ATTEMPT: record.attempt}
        if record.error:
            tags["mlflow.note.content"] = record.error[-5000:]
        run_id = self._client.create_run(
            self._experiment, start_time=begun, run_name=record.name, tags=tags
        ).info.run_id
        parameters = [
            Param(_key(name), str(value)[:_LONGEST]) for name, value in record.facts.items()
        ]
        for start in range(0, len(parameters), _PARAMETERS_AT_ONCE):
            self._client.log_batch(run_id, params=parameters[start : start + _PARAMETERS_AT_ONCE])
        points = [
            Metric(_key(name), value, ended, epoch)
            for epoch, values in record.curves.items()
            for name, value in values.items()
        ]
        points += [Metric(_key(name), value, ended, 0) for name, value in record.scores.items()]
        for start in range(0, len(points), _AT_ONCE):
            self._client.log_batch(run_id, metrics=points[start : start + _AT_ONCE])
        self._client.set_terminated(run_id, "FINISHED" if record.ok else "FAILED", ended)


def _whole(run: Any) -> str | None:
    """Return the attempt that a run tells; None if it was cut short."""
    whole = run.info.status in ("FINISHED", "FAILED")
    return run.data.tags.get(_ATTEMPT) if whole else None


def _key(name: str) -> str:
    """Return a name in the letters that MLflow allows."""
    return re.sub(r"[^\w\-. /:]", "_", name)
