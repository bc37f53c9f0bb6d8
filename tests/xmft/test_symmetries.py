"""Symmetries that are said of a task are those of its samples."""

from dataclasses import replace

import pytest

from xmft.errors import DataError
from xmft.symmetries import Galilean, Symmetries
from xmft.task import TaskData


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (Symmetries(periodic=(1,)), "axis 1 of 1"),
        (Symmetries(mirrored=(0, 2)), "axis 2 of 1"),
        (Symmetries(periodic=(0,), exchanged=True), "two axes that can be exchanged"),
        (Symmetries(periodic=(0,), inputs=(None, None, 0)), "3 input channels"),
        (Symmetries(periodic=(0,), targets=(0, None)), "2 target channels"),
        (Symmetries(periodic=(0,), inputs=(1, None)), "axis 1 of 1"),
        (
            Symmetries(periodic=(0,), galilean=Galilean(crossing=1.0, most=1.0, density=3)),
            "a density in channel 3",
        ),
    ],
)
def test_what_samples_do_not_have_is_refused(
    wrong: Symmetries, told: str, dense_data: TaskData
) -> None:
    shapes = [part.shape[1:] for part in (dense_data.train.inputs, dense_data.train.targets)]
    assert shapes == [(2, 32), (1, 32)]
    with pytest.raises(DataError) as caught:
        replace(dense_data, task=replace(dense_data.task, symmetries=wrong))
    assert told in str(caught.value)


def test_what_they_have_is_taken(dense_data: TaskData) -> None:
    frames = Galilean(crossing=1.0, most=1.0, density=0)
    known = Symmetries(
        periodic=(0,), mirrored=(0,), inputs=(0, None), targets=(0,), galilean=frames
    )
    assert replace(dense_data, task=replace(dense_data.task, symmetries=known)).task.symmetries
