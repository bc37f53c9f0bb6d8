"""Workers that stay from cell to cell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runner.ledger import Ledger

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROOT = Path(__file__).parents[2]


def test_workers_train_one_cell_after_the_other(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    script = Path(__file__).with_name("gang_of_two.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env={**environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert {name: seen[name]["status"] for name in list(seen)[:-1]} == {
        "cold": "ok",
        "warm": "ok",
        "bad": "failed",
        "divided": "ok",
        "whole": "ok",
        "stopped": "stopped",
    }
    # The same two processes, also after an error that both of them had.
    first = seen["cold"]["workers"]
    assert len(first) == 2
    assert [seen[name]["workers"] for name in ("warm", "bad", "divided", "whole")] == [first] * 4
    assert "no such file" in seen["bad"]["error"]
    assert "goes on from there" in seen["stopped"]["error"]
    assert seen["left"] == []
    rows = Ledger(tmp_path / "results").read().to_pandas()
    statuses = rows.groupby("cell_id")["status"].first()
    sharding = rows.groupby("cell_id")["sharding"].first()
    found = {name: sharding[seen[name]["cell"]] for name in ("warm", "divided", "whole")}
    assert found == {"warm": "ddp", "divided": "fsdp", "whole": "ddp"}
    assert statuses[seen["bad"]["cell"]] == "failed"
    assert seen["stopped"]["cell"] not in statuses
    assert (tmp_path / "results/checkpoints" / seen["stopped"]["cell"] / "state.pt").is_file()
