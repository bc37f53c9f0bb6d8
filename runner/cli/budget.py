"""The options that say what a cell may have used, of all commands that compare.

`Query` refuses what is no budget, in one sentence: a range of the option would let infinity pass.
"""

from __future__ import annotations

from typing import Annotated

import typer

MostFlops = Annotated[
    float | None,
    typer.Option("--most-flops", metavar="N", help="rank what took N FLOPs a cell at most: 1e15"),
]
MostSeconds = Annotated[
    float | None,
    typer.Option(
        "--most-seconds", metavar="N", help="rank what took N device seconds a cell at most"
    ),
]
