"""Losses and scores for tests of statistics."""

import numpy as np
import pandas as pd


def losses(values):
    """A frame with entries a, b, c, ... on tasks 0, 1, ..."""
    values = np.asarray(values, dtype=float)
    return pd.DataFrame(values, index=[f"e{i}" for i in range(len(values))]).rename(
        columns="t{}".format
    )


def random_losses(entries, tasks, seed=0, levels=None):
    """Losses over several orders of magnitude, or of a few levels, so that many tie."""
    random = np.random.default_rng(seed)
    if levels:
        return losses(random.integers(1, levels + 1, size=(entries, tasks)))
    scale = 10.0 ** random.integers(-4, 2, size=tasks)
    return losses(scale * np.exp(random.normal(size=(entries, tasks))))


def random_scores(entries, tasks, seeds, seed=0, spread=0.3):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        [
            (f"e{i}", f"t{j}", s, float(np.exp(0.2 * i + spread * random.normal())))
            for i in range(entries)
            for j in range(tasks)
            for s in range(seeds)
        ],
        columns=["entry", "task", "seed", "value"],
    )


def directions(scores, way="min"):
    return dict.fromkeys(scores["task"].unique(), way)
