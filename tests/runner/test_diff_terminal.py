"""`xmft diff` in terminals of every width: nothing is cut off, and nothing is missing."""

from __future__ import annotations

import io

import pyarrow as pa
import pytest
from rich.console import Console

from runner.report.diff import compare_ledgers
from runner.report.diff_formats import records
from runner.report.diff_terminal import DiffView
from runner.results import results
from tests.runner import boards

OPTIONS = {f"option_{number}": number / 7 for number in range(4)}


@pytest.mark.parametrize("width", [44, 60, 80, 120, 200])
def test_every_width_shows_every_number(width: int) -> None:
    tables = []
    for moved in (0.0, 0.05):
        cells = [
            boards.cell(method, task, seed, 0.25 + 0.01 * seed + moved, method_config=options)
            for task in ("a_suite/diffusion_reaction_1d", "another/b:beta1.0")
            for seed in (0, 1, 2)
            for method, options in (("nft", {}), ("recraft", OPTIONS), ("recraft", {}))
        ]
        tables.append(results(pa.concat_tables(cells)))
    found = compare_ledgers(*tables)
    told = io.StringIO()
    Console(file=told, width=width, color_system=None).print(DiffView(found, ["main", "branch"]))
    lines = told.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    # What is folded is whole again without the blanks and the lines between columns.
    shown = "".join("".join(line.split()) for line in lines)
    rows = records(found)
    assert len(rows) == 6 + 18
    for row in rows:
        assert row["verdict"] in shown
        assert f"{row['a']:.4g}" in shown and f"{row['b']:.4g}" in shown
    assert "a_suite/diffusion_reaction_1d" in shown.replace("│", "")
    # A row is one line, but for the name of an entry with options.
    plain = [line for line in lines if "nft" in line and "0.3" in line]
    assert len(plain) == 2 + 6
