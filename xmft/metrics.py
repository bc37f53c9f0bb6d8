"""Losses and metrics by name, exact over a split; see `xmft.metric` for what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from xmft.chunk_scores import chunk_auroc, chunk_f1, mean_of_batch_means
from xmft.contact_errors import (
    clipped_squared_error,
    clipped_squared_error_everywhere,
    close_pairs,
    close_pairs_of_public_code,
    columns_of_public_code,
    mean_of_leading_blocks,
    mean_of_proteins,
)
from xmft.errors import RequestError
from xmft.field_errors import (
    band_error,
    boundary_rmse,
    channel_nrmse,
    channel_rmse,
    error_spectrum,
    nrmse,
    nrmse_pdebench,
    of_channel,
    peak_error,
    rmse,
    root_mean,
    squared_mean_error,
)
from xmft.label_scores import (
    binary_cross_entropy,
    class_f1,
    cross_entropy,
    error_pct,
    label_auroc,
    label_average_precision,
    label_error_pct,
    one_minus_mean,
)
from xmft.metric import Loss, Metric, Reduction, Unit
from xmft.pixel_scores import (
    half_of_both_rates,
    hard_counts,
    missed,
    missed_of_all,
    one_minus_known,
    percentage,
    pixel_auroc,
)
from xmft.recipe import Recipe
from xmft.registry import Registry
from xmft.task import Kind, Task

__all__ = ["LOSSES", "METRICS", "Loss", "Metric", "Reduction", "Unit", "check_scores", "trained_on"]

# Wavenumbers from the first up to, but without, the second.
_BANDS: dict[str, tuple[int, int | None]] = {"low": (0, 4), "mid": (4, 12), "high": (12, None)}
# Channels that have a metric of their own.
_CHANNELS = 4
_DENSE: tuple[Kind, ...] = ("dense",)
_CLASSES: tuple[Kind, ...] = ("classification",)
_LABELS: tuple[Kind, ...] = ("multilabel",)
# Means of scores over classes or labels, or over the chunks of the public code.
_ONE_MINUS: tuple[tuple[str, tuple[Kind, ...], Callable[..., Tensor], Unit], ...] = (
    ("one_minus_f1", _CLASSES, class_f1, "group"),
    ("one_minus_f1_windows", _CLASSES, class_f1, "row"),
    ("one_minus_f1_chunks", _CLASSES, partial(chunk_f1, size=1000), "row"),
    ("one_minus_auroc", _LABELS, label_auroc, "group"),
    # 63 batches of 16: the first number of whole batches that reaches 1000.
    ("one_minus_auroc_chunks", _LABELS, partial(chunk_auroc, size=1008), "row"),
    ("one_minus_map", _LABELS, label_average_precision, "group"),
)


LOSSES: Registry[Loss] = Registry("loss")
METRICS: Registry[Metric] = Registry("metric")


def check_scores(task: Task, *, weighted: bool) -> None:
    """Make sure that loss and metrics are for the kind of a task.

    Args:
        task: The task.
        weighted: Whether its data weigh the target values.

    Raises:
        RequestError: an unknown name, one for other kinds, or one that takes no weights.
    """
    entries: list[tuple[str, Loss | Metric]] = [(task.loss, LOSSES[task.loss])]
    entries += [(name, METRICS[name]) for name in task.metrics]
    for name, entry in entries:
        what = "loss" if isinstance(entry, Loss) else "metric"
        if task.kind not in entry.kinds:
            fitting = sorted(n for n, m in METRICS.items() if task.kind in m.kinds)
            raise RequestError(
                f"Task '{task.name}' is a {task.kind} task, but the {what} '{name}' is for "
                f"{' and '.join(entry.kinds)} tasks. Metrics for it: {', '.join(fitting)}."
            )
        if weighted and not entry.weighted:
            raise RequestError(
                f"The data of task '{task.name}' weigh their target values, but the {what} "
                f"'{name}' takes no weights. Choose another, or leave the weights out."
            )


def trained_on(task: Task, recipe: Recipe) -> Task:
    """Return a task with the loss that the recipe wants.

    Raises:
        RequestError: that is the metric that ranks, and there is no loss whose mean it is.
    """
    if recipe.loss == "task":
        return task
    metric = METRICS[task.metrics[0]]
    if metric.reduction == "mean" and metric.finish is torch.mean and metric.direction == "min":
        for name, loss in LOSSES.items():
            if loss.function is metric.per_sample:
                return replace(task, loss=name)
    raise RequestError(
        f"loss=ranking: '{task.name}' is ranked by '{metric.name}', which is not the mean of a "
        "loss of its samples. Leave loss at task for this task (per_task in a grid)."
    )


LOSSES.add("nrmse", Loss(kinds=_DENSE, function=nrmse, weighted=True))
LOSSES.add("nrmse_pdebench", Loss(kinds=_DENSE, function=nrmse_pdebench))
LOSSES.add("rmse", Loss(kinds=_DENSE, function=rmse, weighted=True))
for _name, _function in {
    "mse_to_16": clipped_squared_error,
    "mse_to_16_everywhere": clipped_squared_error_everywhere,
}.items():
    LOSSES.add(_name, Loss(kinds=_DENSE, function=_function, weighted=True))
LOSSES.add(
    "cross_entropy", Loss(kinds=_CLASSES, function=cross_entropy, weighted=True, logits=True)
)
for _ending, _positive in {"": 1.0, "_pos4": 4.0, "_pos10": 10.0}.items():
    LOSSES.add(
        f"binary_cross_entropy{_ending}",
        Loss(
            kinds=("multilabel", "dense"),
            function=partial(binary_cross_entropy, positive=_positive),
            weighted=True,
            logits=True,
        ),
    )

for _metric in (
    Metric(name="nrmse", version=1, kinds=_DENSE, per_sample=nrmse, weighted=True),
    # As NAS-Bench-360 calls it.
    Metric(name="relative_l2", version=1, kinds=_DENSE, per_sample=nrmse, weighted=True),
    Metric(
        name="relative_l2_batches",
        version=1,
        kinds=_DENSE,
        per_sample=partial(mean_of_batch_means, size=8),
        reduction="all",
    ),
    Metric(name="nrmse_pdebench", version=1, kinds=_DENSE, per_sample=nrmse_pdebench),
    # `nrmse` of one channel of the targets alone; `Task.channels` says what it holds.
    *(
        Metric(
            name=f"nrmse_channel_{channel}",
            version=1,
            kinds=_DENSE,
            per_sample=channel_nrmse,
            finish=partial(of_channel, channel=channel),
        )
        for channel in range(_CHANNELS)
    ),
    # Version 1 was over all channels at once.
    Metric(name="rmse", version=2, kinds=_DENSE, per_sample=channel_rmse),
    Metric(name="max_error", version=1, kinds=_DENSE, per_sample=peak_error, reduction="max"),
    Metric(name="crmse", version=1, kinds=_DENSE, per_sample=squared_mean_error, finish=root_mean),
    Metric(name="brmse", version=1, kinds=_DENSE, per_sample=boundary_rmse),
    *(
        Metric(
            # Version 1 was 0 where a grid has no wavenumber of the band.
            name=f"frmse_{band}",
            version=2,
            kinds=_DENSE,
            per_sample=error_spectrum,
            finish=partial(band_error, first=first, end=end),
        )
        for band, (first, end) in _BANDS.items()
    ),
    Metric(
        name="one_minus_auroc_pixels",
        version=1,
        kinds=_DENSE,
        per_sample=pixel_auroc,
        reduction="all",
        finish=one_minus_known,
        weighted=True,
    ),
    Metric(
        name="mae8_first_length",
        version=1,
        kinds=_DENSE,
        per_sample=columns_of_public_code,
        reduction="each",
        finish=mean_of_leading_blocks,
        weighted=True,
    ),
    *(
        Metric(
            name=name,
            version=1,
            kinds=_DENSE,
            per_sample=counts,
            finish=finish,
            weighted=True,
        )
        for name, counts, finish in (
            ("mae8", close_pairs, mean_of_proteins),
            ("mae8_public", close_pairs_of_public_code, mean_of_proteins),
            ("fnr_pct", missed, percentage),
            ("fnr_pct_unmasked", missed_of_all, percentage),
            ("one_minus_auroc_hard", hard_counts, half_of_both_rates),
        )
    ),
    Metric(name="error_pct", version=1, kinds=_CLASSES, per_sample=error_pct),
    Metric(
        name="f1_macro",
        version=1,
        kinds=_CLASSES,
        per_sample=class_f1,
        direction="max",
        reduction="all",
    ),
    Metric(name="label_error_pct", version=1, kinds=_LABELS, per_sample=label_error_pct),
    Metric(
        name="auroc",
        version=1,
        kinds=_LABELS,
        per_sample=label_auroc,
        direction="max",
        reduction="all",
    ),
    Metric(
        name="average_precision",
        version=1,
        kinds=_LABELS,
        per_sample=label_average_precision,
        direction="max",
        reduction="all",
    ),
    *(
        Metric(
            name=name,
            version=1,
            kinds=kinds,
            per_sample=per_sample,
            reduction="all",
            finish=one_minus_mean,
            unit=unit,
        )
        for name, kinds, per_sample, unit in _ONE_MINUS
    ),
):
    METRICS.add(_metric.name, _metric)
