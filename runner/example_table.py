"""A cell's predictions as a table of the ledger, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from runner.columns import Column, schema_of
from xmft.examples import Examples, Fields

STRIDE_KEY, CHANNELS_KEY = b"xmft_stride", b"xmft_channels"


@dataclass(frozen=True, kw_only=True)
class NamedExamples(Examples):
    """Predictions as the ledger keeps them.

    Attributes:
        channels: Names of the target's channels; empty if they have none.
    """

    channels: tuple[str, ...] = ()


def example_table(examples: Examples, channels: Sequence[str] = ()) -> pa.Table:
    """Return one row per sample: its place in the test split, and its fields as tensors.

    A column's type says the shape `[channels, *grid]` (Arrow's canonical fixed-shape tensors;
    readers that do not know them see flat lists). The distance between the points that are kept
    is in the metadata, and so are the names of the target's channels.
    """
    described = (
        ("input", examples.inputs, "what the model was given, physical units"),
        ("target", examples.targets, "what it had to predict, physical units"),
        ("prediction", examples.predictions, "what it predicted after the last epoch"),
    )
    columns = [(name, _tensors(fields), text) for name, fields, text in described]
    schema = schema_of(
        (
            ("sample", Column(pa.int32(), "counts from 0 through the test split")),
            *((name, Column(column.type, text)) for name, column, text in columns),
        )
    )
    facts = {STRIDE_KEY: str(examples.stride)}
    if channels:
        facts[CHANNELS_KEY] = json.dumps(list(channels))
    schema = schema.with_metadata(schema.metadata | facts)
    numbers = pa.array(range(len(examples)), pa.int32())
    return pa.table([numbers, *(column for _, column, _ in columns)], schema=schema)


def examples_in(table: pa.Table) -> NamedExamples:
    """Undo `example_table`."""
    inputs, targets, predictions = (
        table[name].combine_chunks().to_numpy_ndarray()
        for name in ("input", "target", "prediction")
    )
    facts = table.schema.metadata
    return NamedExamples(
        inputs=inputs,
        targets=targets,
        predictions=predictions,
        stride=int(facts[STRIDE_KEY]),
        channels=tuple(json.loads(facts.get(CHANNELS_KEY, b"[]"))),
    )


def _tensors(fields: Fields) -> pa.ExtensionArray:
    return pa.FixedShapeTensorArray.from_numpy_ndarray(
        np.ascontiguousarray(fields, dtype=np.float32)
    )
