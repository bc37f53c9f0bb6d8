"""Time of the training loop: `xmft.train` against a plain PyTorch loop that does the same.

    python -m performance.training_loop [--pairs 9] [--epochs 4]

Both train the same model (minilm cut to 2 layers) from the same weights on the same batches of
generated advection data, on one thread: AdamW, clipped gradients, a rate per step, the validation
split scored by three metrics after each epoch, the best parameters kept, validation and test split
scored by all metrics with the last and, if they are others, with the best parameters. The plain
loop has no stages, workers, checkpoints, progress, curves or predictions to look at, and AdamW as
torch makes it by default, which is not fused.
That both end with the same scores is checked. The target is a ratio of 1.05 or less.

Each pair of runs is one ratio, taken within seconds and in alternating order, so that a machine
that others use as well slows both sides down alike; the result is the median of the ratios.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import data as task_data
from xmft.metrics import METRICS
from xmft.optimizers import warmup_then_linear
from xmft.task import Recipe, Split, TaskData
from xmft.training import Assembled, assemble

TARGET = 1.05
_TASK, _BACKBONE = "pdebench/advection", "minilm"

_CURVE_METRICS = 3

Scores = dict[tuple[str, str, str], float]
"""Selection, split and metric to the score."""


def plain_loop(cell: Assembled) -> Scores:
    """Train and score its model the way one writes it by hand for this one experiment."""
    model, data, recipe = cell.model, cell.data, cell.recipe
    (stage,) = cell.stages
    inputs, targets = _tensors(data.train)
    names = data.task.metrics
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=recipe.learning_rate,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    steps = len(stage.batches(0)) * recipe.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, warmup_then_linear(recipe.warmup, steps)
    )
    best, best_epoch, best_state = math.inf, 0, model.state_dict()
    for epoch in range(recipe.epochs):
        model.train()
        for batch in stage.batches(epoch):
            rows = torch.from_numpy(batch)
            x, y = inputs[rows], targets[rows]
            optimizer.zero_grad(set_to_none=True)
            error = (model(x) - y).flatten(1).norm(dim=1)
            loss = (error / y.flatten(1).norm(dim=1).clamp_min(1e-8)).mean()
            loss.backward()
            if recipe.clip_grad_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_grad_norm)
            optimizer.step()
            schedule.step()
        score = _score(model, data.val, names[:_CURVE_METRICS])[names[0]]
        if score < best:
            best, best_epoch = score, epoch
            best_state = {k: v.clone() for k, v in model.state_dict().items()}
    last_scores = best_scores = _final_scores(model, data)
    if best_epoch != recipe.epochs - 1:
        model.load_state_dict(best_state)
        best_scores = _final_scores(model, data)
    return {
        (selection, *key): value
        for selection, scores in (("last", last_scores), ("best_val", best_scores))
        for key, value in scores.items()
    }


def _final_scores(model: nn.Module, data: TaskData) -> dict[tuple[str, str], float]:
    return {
        (name, metric): value
        for name, split in (("val", data.val), ("test", data.test))
        for metric, value in _score(model, split, data.task.metrics).items()
    }


def _tensors(split: Split) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(np.array(split.inputs)), torch.from_numpy(np.array(split.targets))


def _score(model: nn.Module, split: Split, names: tuple[str, ...]) -> dict[str, float]:
    """Return every metric's score of a split that fits one batch."""
    model.eval()
    inputs, targets = _tensors(split)
    with torch.inference_mode():
        predictions = model(inputs)
        scores = {name: METRICS[name].score(predictions, targets) for name in names}
    return {name: score for name, score in scores.items() if score is not None}


def fitted(cell: Assembled) -> Scores:
    """Train and score its model with the loop of this package."""
    scores = cell.fit().result.scores
    return {(s.selection, s.split, s.metric): s.value for s in scores}


def main() -> None:
    """Print the medians, their ratio and the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = Recipe(epochs=options.epochs, batch_size=16, layers=2, max_tokens=8, samples=256)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XMFT_CACHE"] = folder
        data = task_data.load(_TASK, data_root=Path(folder), recipe=recipe)
        _compare(data, recipe, options.pairs)


def _compare(data: TaskData, recipe: Recipe, pairs: int) -> None:
    start = assemble(data, "nft", backbone=_BACKBONE, recipe=recipe)

    def timed(loop: Callable[[Assembled], Scores]) -> tuple[float, Scores]:
        cell = replace(start, model=copy.deepcopy(start.model))
        begin = time.perf_counter()
        scores = loop(cell)
        return time.perf_counter() - begin, scores

    _check_same(timed(fitted)[1], timed(plain_loop)[1])  # warms up, too
    ours, plain = [], []
    for pair in range(pairs):
        if pair % 2:
            plain.append(timed(plain_loop)[0])
            ours.append(timed(fitted)[0])
        else:
            ours.append(timed(fitted)[0])
            plain.append(timed(plain_loop)[0])
    ratios = [a / b for a, b in zip(ours, plain, strict=True)]
    seen = len(data.train) * recipe.epochs
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, 1 thread, "
        f"torch {torch.__version__}, {_TASK}, {_BACKBONE} with {recipe.layers} layers, "
        f"{len(data.train)} samples x {recipe.epochs} epochs, {pairs} pairs"
    )
    for name, times in (("fit", ours), ("plain loop", plain)):
        median = statistics.median(times)
        print(f"{name}: median {median:.3f} s, {seen / median:.0f} samples/s")
    ratio = statistics.median(ratios)
    print(
        f"ratio fit / plain: median {ratio:.3f} of {min(ratios):.3f} to {max(ratios):.3f}; "
        f"target {TARGET} or less: {'met' if ratio <= TARGET else 'missed'}"
    )


def _check_same(ours: Scores, plain: Scores) -> None:
    for key, value in plain.items():
        if not math.isclose(ours[key], value, rel_tol=1e-4):
            raise SystemExit(
                f"The two loops differ: {' '.join(key)} is {ours[key]} by fit and {value} by the "
                "plain loop. They must do the same work to be compared."
            )


if __name__ == "__main__":
    main()
