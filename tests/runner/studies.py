"""The ledger of a study, and how its tables are read."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from runner.report import study
from runner.schema import Attempt, attempt_table
from tests.runner.attempts import attempt_of, cell_of, score_of


def attempt(
    method: str,
    task: str,
    seed: int,
    value: float | None,
    *,
    terms: dict[str, float] | None = None,
    origin: str = "generated",
    direction: str = "min",
    align_s: float = 2.0,
    last: float = 99.0,
    recipe: dict[str, Any] | None = None,
    predictor: dict[str, Any] | None = None,
    task_weight: float | None = None,
) -> Attempt:
    """A cell as the runner writes it down; `terms` maps `selection/metric/epoch` to a value."""
    cell = cell_of(
        task,
        method,
        seed,
        origin=origin,
        method_config={"preset": method}
        | ({"predictor": predictor} if predictor else {})
        | ({} if task_weight is None else {"task_weight": task_weight}),
        recipe={"epochs": 20, "samples": 100} | (recipe or {}),
        source=None if method == "nft" else "stdlib-docs@1",
    )
    scores = []
    if value is not None:
        scores = [
            score_of(value, direction=direction),
            score_of(last, direction=direction, selection="last"),
            score_of(98.0, direction=direction, split="val"),
        ]
        for key, number in (terms or {}).items():
            selection, metric, epoch = key.split("/")
            scores.append(
                score_of(
                    number,
                    direction=direction,
                    split="train",
                    selection=selection,
                    metric=metric,
                    epoch=int(epoch),
                )
            )
    return attempt_of(
        cell,
        *scores,
        failure=None if value is not None else "oom",
        origin=origin,
        align_s=align_s,
        device="abacus",
        git_revision="0123456789abcdef",
        host="secret-host",
    )


def ledger(*attempts: Attempt) -> pa.Table:
    return pa.concat_tables([attempt_table(item, 1) for item in attempts])


def tables(table: pa.Table, **options: Any) -> dict[str, str]:
    return study.tables(table, **{"ours": "recraft", "head_trained": ["mona"], **options})


def rows_of(markdown: str) -> list[dict[str, str]]:
    """The rows of all Markdown tables in a text, by the header of each."""
    rows, header = [], None
    for line in markdown.splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [
            text.strip().replace("\0", "|")
            for text in line.replace("\\|", "\0").strip("|").split("|")
        ]
        if header is None:
            header = cells
        elif set(cells) != {"---"}:
            rows.append(dict(zip(header, cells, strict=True)))
    return rows


# Means: recraft 0.2 and 0.4, nft 0.4 and 0.3, recraft:released 0.5 and 0.6.
TWO_TASKS = {
    ("recraft", "s/a"): (0.1, 0.3),
    ("recraft", "s/b"): (0.4, 0.4),
    ("nft", "s/a"): (0.4, 0.4),
    ("nft", "s/b"): (0.2, 0.4),
    ("recraft:released", "s/a"): (0.5, 0.5),
    ("recraft:released", "s/b"): (0.6, 0.6),
}


def two_tasks(**options: Any) -> list[Attempt]:
    return [
        attempt(method, task, seed, value, **options)
        for (method, task), values in TWO_TASKS.items()
        for seed, value in enumerate(values)
    ]


def measured(before: float, after: float) -> dict[str, float]:
    return {
        "before_alignment/alignment_w2/0": before,
        "after_alignment/alignment_w2/6": after,
        "before_alignment/alignment_lipschitz_violations/0": 0.125,
        "after_alignment/alignment_lipschitz_violations/6": 0.125,
        "last/target_fit/18": 2 * after,
    }
