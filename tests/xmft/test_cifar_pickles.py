"""Pickles of CIFAR that another program wrote."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest

from xmft.cifar_pickles import CifarPickle, read_cifar
from xmft.errors import FileError

DATA = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)


def read(content: Any, labels: str = "fine_labels") -> CifarPickle:
    raw = pickle.dumps(content, protocol=2)
    return read_cifar(io.BytesIO(raw), name="train", size=len(raw), labels=labels, classes=100)


@pytest.mark.parametrize("text", [str, str.encode])
def test_keys_are_text_or_bytes(text: Any) -> None:
    found = read({text("data"): DATA, text("fine_labels"): [99, 0], b"\xff\xfe": 1, 7: 2})
    assert found.labels.tolist() == [99, 0] and found.labels.dtype == np.int64
    # All red, then all green, then all blue, row by row.
    assert found.images[1, 2, 5, 7] == DATA[1, 2 * 1024 + 5 * 32 + 7]
    assert found.content["7"] == 2


@pytest.mark.parametrize(
    "content, labels, message",
    [
        ({"data": DATA, "labels": [0, 1]}, "fine_labels", "(the labels of CIFAR-10), expected"),
        ({"data": DATA, "fine_labels": [0, 1]}, "labels", "(the fine_labels of CIFAR-100)"),
        ({}, "labels", "train holds nothing, expected 'data' and 'labels'"),
        ([DATA], "labels", "train holds a list, expected a dictionary"),
        (
            {"data": DATA.astype("U3"), "labels": [0, 1]},
            "labels",
            "of type <U3 and shape (2, 3072)",
        ),
        ({"data": DATA.tolist(), "labels": [0, 1]}, "labels", "'data' is a list"),
        ({"data": DATA, "labels": {0: 1}}, "labels", "has the shape () and the type object"),
        ({"data": DATA, "labels": [0, 10**30]}, "labels", "the type object, expected 2 integers"),
        ({"data": DATA, "labels": [True, False]}, "labels", "the type bool, expected 2 integers"),
    ],
)
def test_other_content(content: Any, labels: str, message: str) -> None:
    with pytest.raises(FileError) as caught:
        read(content, labels)
    assert message in str(caught.value)
