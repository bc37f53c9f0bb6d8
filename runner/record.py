"""From a finished or failed training to the rows of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from runner.job import CellJob, FinishedCell
from runner.outcome import Outcome
from runner.provenance import provenance
from runner.schema import (
    ERROR_FLOOR,
    FLOOR_SPREAD,
    FLOOR_VERSION,
    REFERENCE,
    Attempt,
    MetricValue,
)
from runner.usage import Usage, total
from xmft.methods.variants import method_of
from xmft.metrics import METRICS
from xmft.records import FitResult

_MEASUREMENT_VERSION = 1
# A source predictor that is right more often and spreads over its classes tells more.
_HIGHER_IS_BETTER = ("source_accuracy", "source_entropy", "converged")


def failed_attempt(job: CellJob, outcome: Outcome, started: datetime) -> Attempt:
    """Return the ledger's record of a failure."""
    return Attempt(
        cell=job.cell,
        worker_count=job.workers,
        invocation=job.invocation,
        data_origin=None,
        status="failed",
        failure=outcome.failure,
        error=outcome.error,
        wall_s=outcome.wall_s,
        device=None,
        started_at=started,
        finished_at=datetime.now(UTC),
        **vars(provenance()),
    )


def ok_attempt(job: CellJob, trained: FinishedCell, started: datetime, wall_s: float) -> Attempt:
    """Return the ledger's record of a finished training."""
    seconds = trained.result.seconds
    # What is computed before the first stage: artefacts of the source, or a closed form.
    prepare = "align" if method_of(job.cell.method).uses_source else "fit"
    booked = {account: seconds.get(account, 0.0) for account in ("align", "fit", "eval")}
    booked[prepare] += trained.prepare_s
    # Terms of the bound tell of a method what scores tell of it; they are no part of it either.
    booked["eval"] += seconds.get("measure", 0.0)
    booked["fit"] += trained.base_s
    return Attempt(
        cell=job.cell,
        worker_count=job.workers,
        invocation=job.invocation,
        data_origin=trained.origin,
        status="ok",
        params=trained.params,
        trainable_params=trained.trainable_params,
        align_s=booked["align"],
        fit_s=booked["fit"],
        eval_s=booked["eval"],
        wall_s=wall_s,
        peak_memory_bytes=trained.peak_memory_bytes,
        device=trained.device,
        usage=_with_flops(trained.usage, trained.result.flops, prepare),
        started_at=started,
        finished_at=datetime.now(UTC),
        metrics=(*_metric_values(trained.result), *_floor(trained)),
        **vars(provenance()),
    )


def _with_flops(usage: Usage, counted: Mapping[str, int | None], prepare: str) -> Usage:
    """Fill in the floating-point operations.

    Args:
        usage: Of the attempt.
        counted: By account; all but those of stages are scoring and measuring.
        prepare: The account of what is computed before the first stage.
    """
    parts: dict[str, float | None] = dict.fromkeys(("align", "fit", "eval"), 0.0)
    for account, number in counted.items():
        own = prepare if account == "prepare" else account if account in parts else "eval"
        parts[own] = total([parts[own], None if number is None else float(number)])
    return replace(
        usage,
        flops=total(list(parts.values())),
        align_flops=parts["align"],
        fit_flops=parts["fit"],
        eval_flops=parts["eval"],
    )


def _metric_values(result: FitResult) -> list[MetricValue]:
    """Turn scores into rows, and the measured terms of a stage likewise.

    A measurement `alignment/before/w2` becomes metric `alignment_w2` of the training split with
    selection `before_alignment`.
    """
    rows = [
        MetricValue(
            split=score.split,
            selection=score.selection,
            metric=score.metric,
            metric_version=METRICS[score.metric].version,
            direction=METRICS[score.metric].direction,
            value=score.value,
            epoch=score.epoch,
        )
        for score in result.scores
    ]
    for key, value in result.measurements.items():
        stage, when, term = key.split("/")
        epochs = [p.epoch for p in result.curves if p.name.startswith(f"{stage}/")]
        rows.append(
            MetricValue(
                split="train",
                selection=f"{when}_{stage}",
                metric=f"{stage}_{term}",
                metric_version=_MEASUREMENT_VERSION,
                direction="max" if term in _HIGHER_IS_BETTER else "min",
                value=value,
                epoch=min(epochs) - 1 if when == "before" else max(epochs, default=0),
            )
        )
    if result.fitted is not None:
        rows.append(
            MetricValue(
                split="train",
                selection="last",
                metric="target_fit",
                metric_version=_MEASUREMENT_VERSION,
                direction="min",
                value=result.fitted.value,
                epoch=result.fitted.epoch,
            )
        )
    return rows


def _floor(trained: FinishedCell) -> list[MetricValue]:
    """Return the rows of the data's error floor: no score of the model, but what limits it."""
    floor = trained.floor
    if floor is None:
        return []
    values = {ERROR_FLOOR: floor.score}
    values |= {metric: getattr(floor, name) for name, metric in FLOOR_SPREAD.items()}
    return [
        MetricValue(
            split="test",
            selection=REFERENCE,
            metric=metric,
            metric_version=FLOOR_VERSION,
            direction="min",
            value=float(value),
            epoch=0,
        )
        for metric, value in values.items()
        if value is not None
    ]
