"""Numbers that stand where there is no value, in arrays of one's own and in general."""

import numpy as np
import pytest

from xmft.errors import DataError
from xmft.missing import marked
from xmft.split import Split
from xmft.task import Task, TaskData

RNG = np.random.default_rng(4)
NETCDF = 9.969209968386869e36


def _fields(count: int = 20) -> np.ndarray:
    return RNG.normal(size=(count, 1, 12)).astype(np.float32)


@pytest.mark.parametrize("mark", [-9999.0, -99999.0, NETCDF, 1e20, -1e30, 3.4028234663852886e38])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_marks_stand_apart(mark: float, dtype: type) -> None:
    rows = RNG.normal(size=(5, 9)).astype(dtype)
    rows[1, 4] = mark
    rows[3] = mark
    assert marked(rows).tolist() == [False, True, False, True, False]
    rows[1, 5] = 0.6 * mark  # so do its like, and then it is no mark
    assert not marked(rows)[1]


def test_numbers_that_only_look_like_marks() -> None:
    heights = -np.arange(9990.0, 10_010.0)[None]
    assert -9999 in heights and not marked(heights).any()
    assert not marked(np.array([[-9998.9, 1.0], [9999.0, 1.0], [-999.0, 1.0], [1e19, 1.0]])).any()
    assert not marked(np.zeros((3, 0))).any()


@pytest.mark.parametrize("part", ["inputs", "targets"])
@pytest.mark.parametrize("mark", [-9999.0, NETCDF])
def test_arrays_of_ones_own_with_marks_are_refused(part: str, mark: float) -> None:
    x, y = _fields(), _fields()
    (x if part == "inputs" else y)[7, 0, 3] = mark
    with pytest.raises(
        DataError, match=rf"lab/x: the training {part} hold numbers that mark .* samples is 7\."
    ):
        TaskData.from_arrays("lab/x", train=(x, y), val=(_fields(), _fields()), test=(x[:5], y[:5]))


def test_what_has_no_weight_may_be_any_number() -> None:
    x, y = _fields(), _fields()
    y[7, 0, 3] = -9999.0
    split = Split(inputs=x, targets=y, weights=(y > -9999).astype(np.float32))
    task = Task(name="lab/w", version=1, title="w", kind="dense", loss="nrmse", metrics=("nrmse",))
    data = TaskData(
        task=task,
        train=split,
        val=split,
        test=split,
        origin="official",
        fingerprint="0",
        source="here",
    )
    data.check_values()


def test_fields_of_zeros_and_constants_are_legal() -> None:
    x = _fields()
    x[:6] = 0.0
    x[6:9] = 9.0
    assert TaskData.from_arrays("lab/z", train=(x, x), test=(x[:8], x[:8])).checked
