"""Wrong values in one sentence, whatever types a field may have."""

from __future__ import annotations

import pytest

from runner.validation import validated
from xmft.errors import RequestError
from xmft.methods import METHODS


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("patch", "a valid number"),
        (True, "a valid number"),
        (-1, "greater than 0"),
        ({"choice": [0.1]}, "a valid number"),
        ([0.1], "a valid number"),
    ],
)
def test_a_value_of_several_types_is_wrong_once(value: object, reason: str) -> None:
    with pytest.raises(RequestError) as caught:
        validated(METHODS["orca"].Config, {"alignment_rate": value}, where="options of orca")
    assert str(caught.value) == (
        f"'alignment_rate' in options of orca: input should be {reason} or 'patches', "
        f"found {value!r}."
    )


def test_places_inside_are_told_in_full() -> None:
    content = {"predictor": {"threshold": "high"}}
    with pytest.raises(RequestError, match=r"^'predictor.threshold' in x: .*number, found 'high'"):
        validated(METHODS["recraft"].Config, content, where="x")
