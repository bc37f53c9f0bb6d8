"""Fewer samples to learn from, with validation and test as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from xmft.arrays import Array, Indices, Ragged
from xmft.cache import key
from xmft.recipe import Recipe
from xmft.seeding import generator
from xmft.split import Split
from xmft.task import TaskData


def learned_from(data: TaskData, recipe: Recipe, seed: int) -> TaskData:
    """Return a task's data with as many training samples as the recipe wants, in their order.

    They are drawn from the seed: all methods learn from the same ones, and of two numbers the
    larger one's hold the smaller one's. What belongs together, such as the rows of one record, is
    one sample. What is left is copied into memory.
    """
    train, most = data.train, recipe.train_samples
    units = np.unique(train.group_of_row)
    if most is None or most >= len(units):
        return data
    drawn = generator("train_samples", seed).permutation(len(units))[:most]
    rows = np.flatnonzero(np.isin(train.group_of_row, units[drawn]))
    return replace(
        data,
        train=_rows_of(train, rows),
        # Of the content: what is kept under it, such as clusters, is of these samples.
        fingerprint=key(data=data.fingerprint, train_samples=most, seed=seed),
    )


def _rows_of(split: Split, rows: Indices) -> Split:
    """Return some rows of a split, with the samples that they are cut from."""
    samples, places = np.unique(split.sample_of_row[rows], return_inverse=True)
    windows = split.windows
    if windows is not None:
        windows = replace(
            windows,
            table=np.column_stack([places, windows.table[rows, 1:]]),
            extents=None if windows.extents is None else windows.extents[samples],
        )
    weights = split.weights
    return Split(
        inputs=_taken(split.inputs, samples),
        targets=_taken(split.targets, samples),
        weights=None if weights is None else weights[samples],
        windows=windows,
        groups=None if split.groups is None else split.groups[rows],
    )


def _taken(array: Array | Ragged, samples: Indices) -> Array | Ragged:
    if isinstance(array, Ragged):
        return Ragged.of([array[number] for number in samples.tolist()])
    return array[samples]
