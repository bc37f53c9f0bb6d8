"""Submissions: what goes into the file, what does not, and that it is read as the ledger is."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from runner.compaction import compact
from runner.ledger import Ledger
from runner.ledgers import open_results
from runner.report.compare import build
from runner.results import RESULT_COLUMNS
from runner.schema import SCHEMA
from runner.submissions.digests import cell_digests, row_texts, table_digest
from runner.submissions.reading import Submission
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import output_of, refused, xmft
from tests.runner.storage.test_compaction import same
from xmft.examples import Examples
from xmft.task import CurvePoint

FIELD = np.arange(8, dtype=np.float32).reshape(1, 1, 8)
TOLD = {"data": "/home/jane doe/data", "backbone": "/scratch/jane/minilm", "workers": 2}
ERROR = """Traceback (most recent call last):
  File "/home/jane doe/data/x.py", line 3, in read
  File "/opt/venv/lib/python3.11/site-packages/torch/nn.py", line 9
OSError: /scratch/jane/minilm/model.bin on node7.lab.org: see ~/notes/a.txt, 3/4 of https://x.org/y
"""


@pytest.fixture
def lab(ledger: Ledger) -> Ledger:
    """A ledger with cells of two methods and seeds, a failure, curves, examples, NaN."""
    for method in ("orca", "nft"):
        for seed in (0, 1):
            cell = cell_of(method=method, seed=seed)
            scores = [score_of(0.1 * seed + len(method)), score_of(2.0, selection="last")]
            scores.append(score_of(float("nan"), metric="largest"))
            known = {"host": "node7.lab.org", "invocation": TOLD}
            if method == "nft":
                failed = attempt_of(cell, failure="oom", error=ERROR, **known)
                ledger.write_attempt(failed)
            ledger.write_attempt(attempt_of(cell, *scores, **known))
            points = [CurvePoint(epoch=e, split="val", name="nrmse", value=1 / e) for e in (1, 2)]
            ledger.write_curves(cell.id, [*points, replace(points[0], value=float("nan"))])
    example = Examples(inputs=FIELD, targets=FIELD + 1, predictions=FIELD, stride=2)
    ledger.write_examples(cell_of(method="orca").id, example, ("u",))
    return ledger


def submit(ledger: Ledger, path: Path, *more: str) -> Submission:
    output_of("submit-results", "--results", ledger.uri, "--to", path, *more)
    return Submission(path)


PRIVATE = ("host", "invocation", "error")


@pytest.mark.parametrize("compacted", [False, True])
def test_it_is_read_as_the_ledger_is(lab: Ledger, tmp_path: Path, compacted: bool) -> None:
    if compacted:
        compact(lab)
    handed = submit(lab, tmp_path / "lab.parquet", "--examples")
    kept = [name for name in SCHEMA.names if name not in PRIVATE]
    assert same(handed.read().select(kept), lab.read().select(kept))
    assert handed.read().schema.equals(SCHEMA, check_metadata=True)
    (then,), (now,) = build(lab.rows(RESULT_COLUMNS)), build(handed.rows(RESULT_COLUMNS))
    assert now == then
    for cell_id in handed.cell_ids():
        assert same(handed.curves(cell_id), lab.curves(cell_id))
        assert same(
            handed.read(cell_id=cell_id).select(kept), lab.read(cell_id=cell_id).select(kept)
        )
    found, wanted = (one.examples(cell_of(method="orca").id) for one in (handed, lab))
    assert found is not None and wanted is not None
    assert (found.stride, found.channels) == (2, ("u",))
    assert np.array_equal(found.targets, wanted.targets)
    assert handed.examples(cell_of(method="nft").id) is None
    assert handed.find(cell_of(method="nft").id[:9]) == cell_of(method="nft").id
    both = open_results([lab.uri, tmp_path / "lab.parquet"])
    (merged,) = build(both.rows(RESULT_COLUMNS))
    assert merged == then


def test_every_reader_of_parquet_reads_it(lab: Ledger, tmp_path: Path) -> None:
    submit(lab, tmp_path / "lab.parquet")
    table = parquet.read_table(tmp_path / "lab.parquet")
    assert table["value"].to_pylist()[0] == lab.read()["value"].to_pylist()[0]
    assert table.schema.field("value").metadata == SCHEMA.field("value").metadata
    points = [row for row in table["curves"].to_pylist() if row]
    assert len(points) == 4
    assert points[0][1] == {"epoch": 2, "split": "val", "name": "nrmse", "value": 0.5}


def test_the_statement_says_who_and_what(lab: Ledger, tmp_path: Path) -> None:
    words = ("--by", "A. Name, Lab", "--note", "first try", "--methods", "nft", "--seeds", "1", "0")
    said = submit(lab, tmp_path / "lab.parquet", *words).statement
    assert (said["by"], said["note"], said["version"]) == ("A. Name, Lab", "first try", 1)
    assert abs(datetime.fromisoformat(said["created_at"]) - datetime.now(UTC)).total_seconds() < 90
    assert said["counts"] == {"nft": {"tasks": 1, "seeds": 2, "cells": 2, "ok": 2}}
    assert (said["protocols"], said["data_origins"]) == (["clean"], ["generated"])
    assert said["filters"] == {"tasks": [], "methods": ["nft"], "seeds": [1, 0]}
    assert set(said["cells"]) == {cell_of(method="nft", seed=seed).id for seed in (0, 1)}
    files = said["cells"][cell_of(method="nft").id]["files"]
    folder = f"cells/{cell_of(method='nft').id}"
    assert set(files) == {f"{folder}/{n}.arrow" for n in ("attempt-1", "attempt-2", "curves")}
    for key in ("platform", "git_revision", "git_dirty", "xmft", "versions", "schema_version"):
        assert key in said
    said = submit(lab, tmp_path / "sha.parquet").statement
    path = f"{folder}/attempt-2.arrow"
    assert lab.local_root is not None
    content = (lab.local_root / path).read_bytes()
    digest = said["cells"][cell_of(method="nft").id]["files"][path]
    assert digest == hashlib.sha256(content).hexdigest()


def test_what_is_private_stays_at_home(lab: Ledger, tmp_path: Path) -> None:
    handed = submit(lab, tmp_path / "lab.parquet", "--examples")
    content = (tmp_path / "lab.parquet").read_bytes()
    text = repr(parquet.read_table(tmp_path / "lab.parquet").to_pylist()) + repr(content)
    for word in ("jane", "/home", "/scratch", "/opt", "node7", "lab.org", "~/notes"):
        assert word not in text
    rows = handed.read().to_pylist()
    assert {row["host"] for row in rows} == {"host-1"}
    assert json.loads(rows[0]["invocation"]) == {"backbone": "minilm", "workers": 2}
    (error, *_) = {row["error"] for row in rows if row["error"]}
    assert 'File "data/x.py", line 3' in error
    assert 'File "nn.py", line 9' in error
    assert "OSError: minilm/model.bin on host-1: see a.txt, 3/4 of https://x.org/y" in error
    # Names of people and machines here are not in it, whichever user runs this.
    assert output_of("verify-results", tmp_path / "lab.parquet", "--against", lab.uri)


def test_requests_that_cannot_be_met(lab: Ledger, tmp_path: Path) -> None:
    results = ("--results", lab.uri)
    blocked = tmp_path / "file"
    blocked.write_text("")
    empty = tmp_path / "empty"
    empty.mkdir()
    submit(lab, tmp_path / "lab.parquet")
    to = ("--to", str(tmp_path / "x.parquet"))
    for words, told in (
        ((*results, "--to", str(tmp_path / "x.csv")), "does not end in .parquet"),
        ((*results, *to, "--methods", "orka"), "Did you mean 'orca'?"),
        ((*results, *to, "--seeds", "7"), "has seed 7"),
        (("--results", str(tmp_path / "none"), *to), "There are no results at"),
        (("--results", str(blocked), *to), "is a file: results are a folder"),
        (("--results", str(tmp_path / "lab.parquet"), *to), "is a submitted file"),
        (("--results", str(empty), *to), "holds no results. `xmft run quick` fills it"),
        ((*results, "--to", str(blocked / "x.parquet")), "cannot be written"),
    ):
        assert told in refused(tmp_path, "submit-results", *words)
    damaged = next(Path(lab.uri).glob("cells/*/attempt-1.arrow"))
    damaged.write_bytes(b"")
    result = xmft("submit-results", *results, *to)
    assert result.exit_code == 2
    assert "what is signed off must be whole" in result.stderr


def test_commands_read_it_and_write_nothing_beside_it(lab: Ledger, tmp_path: Path) -> None:
    path = tmp_path / "lab.parquet"
    submit(lab, path)
    for command in ("leaderboard", "status"):
        own = output_of(command, "--results", lab.uri)
        assert output_of(command, "--results", path) == own
        assert output_of(command, "--results", path, lab.uri) == own
    text = output_of("show", cell_of().id, "--results", path)
    assert "curves" in text and "largest" in text
    output_of("export", "--to", tmp_path / "rows.csv", "--results", path)
    assert "name a file with --out" in refused(
        tmp_path, "leaderboard", "--format", "md", "--results", path
    )
    assert "name one with --out" in refused(tmp_path, "figures", "--results", path, lab.uri)
    assert "There is no file" in refused(tmp_path, "status", "--results", tmp_path / "no.parquet")


def texts_of(values: list[Any], kind: pa.DataType) -> list[str]:
    return row_texts(pa.table({"x": pa.array(values, kind)})).to_pylist()


def test_texts_of_rows_are_the_same_for_the_same_values_alone() -> None:
    floats = [0.0, -0.0, float("nan"), 1.0, 1.0 + 2**-52, None, 5e-324]
    assert len(set(texts_of(floats, pa.float64()))) == len(floats)
    words = ["", None, "\x00", "a", "a\x1f", "x" * 300, "x" * 301, "\n"]
    assert len(set(texts_of(words, pa.string()))) == len(words)
    split = [
        pa.table({"a": pa.array([one]), "b": pa.array([other])})
        for one, other in (("p", "q\x1f"), ("p\x1fq", ""), ("p\x1f", "q"))
    ]
    assert len({table_digest(table) for table in split}) == 3


def test_digests_do_not_depend_on_how_rows_are_stored(lab: Ledger) -> None:
    rows = lab.read()
    digests = cell_digests(rows, SCHEMA.names)
    order = list(range(rows.num_rows))
    random.Random(1).shuffle(order)
    shuffled = rows.take(order)
    assert cell_digests(shuffled, SCHEMA.names) == digests
    assert cell_digests(lab.rows(), SCHEMA.names) == digests
    pieces = pa.concat_tables([rows.slice(place, 1) for place in range(rows.num_rows)])
    assert cell_digests(pieces, SCHEMA.names) == digests
