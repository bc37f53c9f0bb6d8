"""Two processes that train together with all options of how to fit give what one gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.xmft.several import WORKERS, load, run_workers
from tests.xmft.test_recipe_options import TOGETHER, periodic
from xmft.records import FitResult
from xmft.task import Recipe, TaskData

RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=3e-3, max_tokens=8).model_copy(
    update=TOGETHER
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", ["ddp", "fsdp"])
def test_two_workers_train_as_one(
    how: str,
    dense_data: TaskData,
    tmp_path: Path,
    train: Callable[..., tuple[Any, FitResult]],
) -> None:
    data = periodic(dense_data)
    run_workers(tmp_path, how, [("options", "nft", None, data, RECIPE)])
    first, second = (load(tmp_path, "options", rank) for rank in range(WORKERS))
    model, result = train("nft", data, RECIPE)
    assert first["divided"] == (how == "fsdp")
    assert first["curves"] == second["curves"] and first["scores"] == second["scores"]
    together = [value for *_, value in first["curves"]]
    assert together == pytest.approx([p.value for p in result.curves], rel=1e-5)
    together = [value for *_, value in first["scores"]]
    assert together == pytest.approx([s.value for s in result.scores], rel=1e-5, abs=1e-6)
    for key, value in model.named_parameters():
        torch.testing.assert_close(
            first["model"][key], value.detach(), atol=1e-5, rtol=1e-5, msg=key
        )
