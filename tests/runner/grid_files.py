"""Grid files of tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runner.config import load_grid
from xmft.errors import RequestError

MINIMAL = "tasks: [pdebench/advection]\nmethods: [nft]\n"


Write = Callable[[str], str]


def message(name: str, *settings: str, task: str = "pdebench/advection") -> str:
    """Load a grid that is wrong and return the sentence that says so."""
    with pytest.raises(RequestError) as caught:
        load_grid(name, settings).recipe_of(task)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text
