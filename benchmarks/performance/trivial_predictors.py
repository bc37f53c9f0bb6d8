"""How far one gets without learning: predict the training mean, or the input.

python -m benchmarks.performance.trivial_predictors quick
"""

from __future__ import annotations

import sys

import torch

from benchmarks import catalog
from runner.config import load_grid
from xmft.metrics import nrmse


def main(grid_name: str) -> None:
    """Print the test nRMSE of both predictors for every dense task of a grid."""
    grid = load_grid(grid_name)
    print(f"{'task':34}{'training mean':>14}{'input':>8}")
    for name in grid.tasks:
        data = catalog.load(
            name, data_root=catalog.default_data_root(), recipe=grid.recipe_of(name)
        )
        if data.task.kind != "dense":
            continue
        train, targets, inputs = (
            torch.from_numpy(array.copy())
            for array in (data.train.targets, data.test.targets, data.test.inputs)
        )
        mean = train.mean(dim=0, keepdim=True).expand_as(targets)
        scores = [nrmse(guess, targets).mean().item() for guess in (mean, inputs)]
        print(f"{name:34}{scores[0]:14.3f}{scores[1]:8.3f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "quick")
