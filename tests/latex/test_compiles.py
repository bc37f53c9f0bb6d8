"""LaTeX itself reads the tables: `make latex`, where there is a LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from runner.report.latex import to_latex
from tests.runner.boards import ADVECTION, DARCY, build, cell, floored, grid, ledger

# Names that would be commands, arguments of what stands before them, or characters without a font.
NAMES = [
    "orca",
    "[x] y",
    "[5pt]",
    "*star",
    "中文",
    "a_b^{c}%$&#~\\foo\\input{x}",
    "é ß ñ ±",
    "x--y \"q\" 'z' ?` !` <<>>",
]
MANY = {f"m{n}": {f"s/t{t}": 0.1 + n for t in range(9)} for n in range(90)}
DOCUMENT = r"""\documentclass{article}
\usepackage[T1]{fontenc}\usepackage{textcomp}\usepackage{booktabs}\usepackage{graphicx}
\begin{document}
\input{board}
\end{document}
"""
BOARDS = {
    "names": [
        cell(name, task, 0, 0.1 * n) for n, name in enumerate(NAMES) for task in ("s/a", "s/b")
    ]
    + [cell("[late] one", "s/a", 0, 0.3)],
    "floors": [*floored(), cell("mona", ADVECTION, 0, 0.9)],
    "suites": [*grid({"orca": {DARCY: 0.1, "nasbench360/ecg": 0.2}, "nft": {DARCY: 0.2}})],
    "many": grid(MANY, seeds=(0,)),
}


@pytest.mark.parametrize("engine", ["pdflatex"])
@pytest.mark.parametrize("name", BOARDS)
def test_a_document_with_the_tables_compiles(name: str, engine: str, tmp_path: Path) -> None:
    command = shutil.which(engine)
    assert command, f"{engine} is not here: apt-get install texlive-latex-recommended"
    boards = build(ledger(*BOARDS[name]), overall=True)
    (tmp_path / "board.tex").write_text(to_latex(boards, ledger="my_results"), encoding="utf-8")
    (tmp_path / "document.tex").write_text(DOCUMENT, encoding="utf-8")
    run = subprocess.run(
        [command, "-interaction=nonstopmode", "-halt-on-error", "document.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-2000:]
    assert (tmp_path / "document.pdf").stat().st_size > 1000
    # Wider than the page by more than what nobody sees.
    overfull = re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", run.stdout)
    assert [width for width in overfull if float(width) > 10] == []
