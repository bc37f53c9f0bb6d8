"""Training on a GPU: the numbers of the CPU, and what is there to be faster."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import xmft
from xmft.records import FitResult
from xmft.samples import samples_of
from xmft.task import Recipe, Split, Task, TaskData

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA"),
]
RECIPE = Recipe(epochs=3, batch_size=8, learning_rate=3e-3, max_tokens=8)
TASK = Task(name="toy/moved", version=1, title="", kind="dense", loss="nrmse", metrics=("nrmse",))


@pytest.fixture(scope="module")
def data() -> TaskData:
    """Waves, and the same moved by three points."""
    x = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    splits = {}
    for seed, (name, count) in enumerate({"train": 45, "val": 11, "test": 14}.items()):
        shift = np.random.default_rng(seed).uniform(0, 6, (count, 1, 1))
        waves = np.sin(x + shift).astype(np.float32)
        splits[name] = Split(inputs=waves, targets=np.roll(waves, 3, axis=2))
    return TaskData(task=TASK, origin="miniature", fingerprint="moved", source="", **splits)


@pytest.fixture
def train(data: TaskData, tmp_path: Path) -> Iterator[Callable[..., FitResult]]:
    def trained(device: str, recipe: Recipe = RECIPE) -> FitResult:
        options = {"backbone": "tiny-sequence", "recipe": recipe, "cache": tmp_path}
        return xmft.train(data, "nft", device=device, **options).result

    yield trained
    torch.cuda.empty_cache()


def score(result: FitResult) -> float:
    return next(s.value for s in result.scores if (s.split, s.selection) == ("test", "last"))


def test_the_numbers_are_those_of_the_cpu(train: Callable[..., FitResult]) -> None:
    assert score(train("cuda")) == pytest.approx(score(train("cpu")), rel=1e-2)
    assert score(train("cuda")) == pytest.approx(score(train("cuda")), rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_and_fused_train_alike(
    optimizer: str, precision: str, train: Callable[..., FitResult]
) -> None:
    recipe = RECIPE.model_copy(update={"optimizer": optimizer, "precision": precision})
    plain = score(train("cuda", recipe))
    compiled = score(train("cuda", recipe.model_copy(update={"compile": True})))
    assert compiled == pytest.approx(plain, rel=1e-2 if precision == "float32" else 0.1)
    if precision == "float32":
        assert plain == pytest.approx(score(train("cpu", recipe)), rel=1e-2)


def test_data_stay_on_the_device_or_are_sent_there(data: TaskData) -> None:
    device = torch.device("cuda")
    rows = np.array([3, 1, 4])
    for limit in (None, 0):
        samples = samples_of(data, device, limit=limit)["train"]
        assert (samples.resident_bytes == 0) == (limit == 0)
        inputs, targets, _ = samples.take(rows)
        assert inputs.is_cuda and targets.is_cuda
        assert np.array_equal(inputs.cpu().numpy(), data.train.inputs[rows])
        assert np.array_equal(targets.cpu().numpy(), data.train.targets[rows])
    free, _ = torch.cuda.mem_get_info(device)
    large = np.broadcast_to(np.zeros(1, np.float32), (free // 4, 1, 4))
    found = samples_of(replace(data, val=Split(inputs=large, targets=large)), device)
    assert found["val"].resident_bytes == 0
