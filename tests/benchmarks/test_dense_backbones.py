"""Dense tasks of NAS-Bench-360 at their own size on every family of networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from benchmarks import data as task_data
from benchmarks.nasbench360.darcy import FILES
from benchmarks.nasbench360.miniatures import cosmic, psicov
from xmft.metrics import METRICS
from xmft.recipe import Recipe
from xmft.samples import shapes_of
from xmft.task import TaskData
from xmft.training import train

TINY: dict[str, dict[str, Any]] = {
    "fno": {"options": {"modes": 4, "width": 6, "depth": 1}},
    "unet": {"options": {"features": 4, "levels": 2}},
    "tiny-sequence": {"method": "nft", "backbone": "tiny-sequence"},
    "tiny-swin": {"method": "nft", "backbone": "tiny-swin"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two miniatures, and smooth fields of any kind at Darcy's 421 x 421 nodes."""
    folder = tmp_path_factory.mktemp("data")
    cosmic.write(folder)
    psicov.write(folder / "protein")
    line = np.linspace(0, np.pi, 421, dtype=np.float32)
    for seed, (name, count) in enumerate(zip(FILES, (11, 2), strict=True)):
        waves = np.random.default_rng(seed).uniform(1, 4, (2, count, 1)).astype(np.float32)
        bumps = [np.sin(wave * line) for wave in waves]
        fields = bumps[0][:, :, None] * bumps[1][:, None]
        savemat(folder / name, {"coeff": 2 + fields, "sol": fields})
    return folder


@pytest.mark.parametrize("network", TINY)
@pytest.mark.parametrize(
    "task, side, channels", [("cosmic", 128, 1), ("darcy", 85, 3), ("psicov", 128, 57)]
)
def test_every_family_takes_the_grid(
    task: str, side: int, channels: int, network: str, root: Path
) -> None:
    data: TaskData = task_data.load(f"nasbench360/{task}", data_root=root, protocol="released")
    assert shapes_of(data) == ((channels, side, side), (1, side, side))
    given = {"method": network, **TINY[network]}
    recipe = Recipe(epochs=1, batch_size=4, learning_rate=1e-3, max_tokens=16)
    trained = train(data, recipe=recipe, **given)
    assert set(trained.scores) == set(data.task.metrics)
    assert np.isfinite(list(trained.scores.values())).all()
    one = torch.from_numpy(np.zeros((2, channels, side, side), np.float32))
    assert trained.model(one).shape == (2, 1, side, side)
    assert all(METRICS[name].direction == "min" for name in trained.scores)
