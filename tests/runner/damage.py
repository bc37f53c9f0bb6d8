"""Damages a file of a ledger in many ways and reads the ledger each time, as the reports do.

`python damage.py LEDGER FILE CELL...`: a process of its own, for a damaged file might end it.
"""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from runner.ledger import Ledger
from runner.report.compare import build
from runner.report.status import overview
from runner.results import RESULT_COLUMNS
from xmft.errors import RequestError


def damaged(content: bytes) -> Iterator[bytes]:
    """A file with bits turned, cut off, with a part of noughts, and others."""
    rng = random.Random(0)
    for _ in range(4):
        yield content[: rng.randrange(len(content))]
    for _ in range(25):
        changed = bytearray(content)
        for _ in range(rng.choice((1, 1, 1, 8))):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        yield bytes(changed)
    start = len(content) // 3
    yield content[:start] + bytes(start) + content[2 * start :]
    yield from (content[::-1], b"", b"\n")


def look(root: str, cells: list[str]) -> str | None:
    """Read all of a ledger; return its scores, None if a file was skipped."""
    scores = ""
    ledger = Ledger(root, lenient=True)
    try:
        rows = ledger.rows(RESULT_COLUMNS)
        ledger.read().to_pylist()
        scores = str(rows.select(["cell_id", "attempt", "metric", "value"]).to_pylist())
        overview(rows)
        build(rows)
        for cell_id in cells:
            ledger.curves(cell_id).to_pylist()
            ledger.examples(cell_id)
    except RequestError as error:  # a schema that says it is newer, a name that is another one
        assert str(error).count("\n") == 0
    return None if ledger.skipped else scores


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    path = Path(sys.argv[1], sys.argv[2])
    ends = {"skipped": 0, "same": 0, "other": 0}
    before = look(sys.argv[1], sys.argv[3:])
    for content in damaged(path.read_bytes()):
        path.write_bytes(content)
        found = look(sys.argv[1], sys.argv[3:])
        ends["skipped" if found is None else "same" if found == before else "other"] += 1
    sys.stdout.write(" ".join(map(str, ends.values())))
