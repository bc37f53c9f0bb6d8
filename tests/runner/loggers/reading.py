"""What MLflow and Weights & Biases hold, read by these themselves in processes of their own."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

from runner.processes import module_environment

READ_MLFLOW = """
import json, sys, mlflow
client = mlflow.MlflowClient(sys.argv[1])
(experiment,) = [e for e in client.search_experiments() if e.name != "Default"]
runs = client.search_runs([experiment.experiment_id])
print("READ", json.dumps([experiment.name, [
    {
        "name": run.info.run_name, "status": run.info.status, "tags": run.data.tags,
        "seconds": (run.info.end_time - run.info.start_time) / 1000, "params": run.data.params,
        "points": {
            key: [(p.step, p.value) for p in client.get_metric_history(run.info.run_id, key)]
            for key in run.data.metrics
        },
    }
    for run in runs
]]))
"""


def python(code: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=module_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def in_mlflow(uri: str) -> tuple[str, list[dict]]:
    (line,) = [line for line in python(READ_MLFLOW, uri) if line.startswith("READ ")]
    return json.loads(line.removeprefix("READ "))


def shown(database: Path) -> list[tuple[str | None, ...]]:
    """Return experiment, name, status and note of the runs that are not deleted."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(
            "select e.name, r.name, r.status, t.value from runs r "
            "join experiments e using (experiment_id) left join tags t "
            "on t.run_uuid = r.run_uuid and t.key = 'mlflow.note.content' "
            "where r.lifecycle_stage = 'active'"
        ).fetchall()


READ_WANDB = """
import json, pathlib, struct, sys
from wandb.proto import wandb_internal_pb2 as pb

def records(content):  # LevelDB's log format behind a header of 7 bytes
    place, parts = 7, b""
    while place + 7 <= len(content):
        _, size, kind = struct.unpack("<IHB", content[place : place + 7])
        if kind:
            parts += content[place + 7 : place + 7 + size]
            if kind in (1, 4):  # whole, or the last part
                yield parts
                parts = b""
            place += 7 + size
        rest = -place % 32768
        if rest < 7 or not kind:  # too short for another one
            place += rest if rest else (0 if kind else 32768)

found = {"history": [], "summary": {}, "config": {}}
for data in records(pathlib.Path(sys.argv[1]).read_bytes()):
    record = pb.Record()
    record.ParseFromString(data)
    kind = record.WhichOneof("record_type")
    if kind == "run":
        run = record.run
        found |= {"id": run.run_id, "name": run.display_name, "tags": list(run.tags)}
        found |= {"project": run.project, "group": run.run_group}
        found["config"] |= {u.key: json.loads(u.value_json) for u in run.config.update}
    elif kind == "history":
        found["history"].append({
            (i.key or "/".join(i.nested_key)): json.loads(i.value_json) for i in record.history.item
        })
    elif kind == "summary":
        found["summary"] |= {
            (u.key or "/".join(u.nested_key)): json.loads(u.value_json)
            for u in record.summary.update
        }
    elif kind == "exit":
        found["exit"] = record.exit.exit_code
print("READ", json.dumps(found))
"""


def in_wandb(folder: Path) -> dict:
    (path,) = folder.glob("run-*.wandb")
    (line,) = [line for line in python(READ_WANDB, str(path)) if line.startswith("READ ")]
    return json.loads(line.removeprefix("READ "))
