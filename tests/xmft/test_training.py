"""The Python interface: one's own arrays, methods, metrics."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import xmft
from xmft import METHODS, METRICS, Method, Metric, Recipe, TaskData, fitting_stage, register, train
from xmft.errors import DataError, RequestError
from xmft.stages import Stage
from xmft.training import assemble

RECIPE = Recipe(epochs=3, batch_size=8, max_tokens=8, learning_rate=3e-3)
RNG = np.random.default_rng(0)


def waves(count: int) -> tuple[np.ndarray, np.ndarray]:
    phase = RNG.uniform(0, 6, (count, 1))
    x = np.sin(np.linspace(0, 6, 32) + phase)
    return x, np.roll(x, 4, axis=1)


def classes(count: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(count) % 3
    x = np.sin((1 + labels[:, None]) * np.linspace(0, 6, 32)) + 0.1 * RNG.standard_normal(
        (count, 32)
    )
    return x, labels


def test_own_arrays_train_and_predict(tmp_path: Path) -> None:
    x_test, y_test = waves(12)
    data = TaskData.from_arrays("lab/waves", train=waves(60), test=(x_test, y_test))
    assert (data.task.kind, len(data.train), len(data.val)) == ("dense", 54, 6)
    runs = [train(data, "nft", backbone="tiny-sequence", recipe=RECIPE) for _ in range(2)]
    assert runs[0].scores == runs[1].scores and set(runs[0].scores) == set(data.task.metrics)
    predictions = runs[0].predict(x_test[:, None])
    errors = np.linalg.norm(predictions[:, 0] - y_test, axis=1) / np.linalg.norm(y_test, axis=1)
    assert runs[0].scores["nrmse"] == pytest.approx(errors.mean(), rel=1e-4)


def test_classes_and_labels_are_told_from_the_arrays() -> None:
    data = TaskData.from_arrays("lab/classes", train=classes(45), test=classes(12))
    assert (data.task.kind, data.task.classes, data.train.inputs.dtype) == (
        "classification",
        3,
        np.float32,
    )
    x, labels = classes(45)
    several = np.eye(3)[labels]
    data = TaskData.from_arrays(
        "lab/labels", train=(x, several), test=(x, several), kind="multilabel"
    )
    done = train(data, "nft", backbone="tiny-sequence", recipe=RECIPE)
    assert set(done.scores) == {"average_precision", "auroc", "label_error_pct"}
    assert 0.5 < done.scores["auroc"] <= 1


def test_a_preset_says_fields_of_the_recipe_that_were_left_unsaid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nft = METHODS["nft"]
    monkeypatch.setattr(nft, "presets", {"hasty": {}})
    monkeypatch.setattr(nft, "preset_recipes", {"hasty": {"epochs": 1, "batch_size": 30}})
    data = TaskData.from_arrays("lab/waves", train=waves(30), test=waves(6))
    for name, recipe, wanted in (
        ("nft:hasty", Recipe(batch_size=9), (1, 9)),
        ("nft:hasty", None, (1, 30)),
        ("nft", Recipe(epochs=2), (2, 16)),
    ):
        made = assemble(data, name, backbone="tiny-sequence", recipe=recipe)
        assert (made.recipe.epochs, made.recipe.batch_size) == wanted


def test_best_val_of_a_metric_that_rises_is_the_highest() -> None:
    x, labels = classes(45)
    pairs = (x, np.eye(3)[labels])
    data = TaskData.from_arrays("lab/up", train=pairs, val=pairs, test=pairs, kind="multilabel")
    done = train(data, "nft", backbone="tiny-sequence", recipe=RECIPE)
    curve = [p.value for p in done.result.curves if p.name == "average_precision"]
    assert done.scored("val", "best_val")["average_precision"] == pytest.approx(max(curve))


@pytest.fixture
def registries() -> Iterator[None]:
    before = [dict(registry._entries) for registry in (METHODS, METRICS)]
    yield
    for registry, entries in zip((METHODS, METRICS), before, strict=True):
        registry._entries.clear()  # type: ignore[attr-defined]
        registry._entries.update(entries)  # type: ignore[attr-defined]


def test_own_method_and_metric(registries: None) -> None:
    @register
    class HeadAlone(Method):
        """Train embedder and head."""

        name = "head-alone"
        version = 1
        title = "the encoder stays"

        def stages(self, context: object) -> list[Stage]:
            return [replace(fitting_stage(context), trains=("embedder", "head"))]  # type: ignore[arg-type]

    def worst(prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).abs().flatten(1).amax(dim=1)

    METRICS.add(
        "worst",
        Metric(name="worst", version=1, kinds=("dense",), per_sample=worst, reduction="max"),
    )
    data = TaskData.from_arrays(
        "lab/waves", train=waves(40), test=waves(9), metrics=("worst", "max_error")
    )
    for method in ("head-alone", HeadAlone):
        done = train(data, method, backbone="tiny-sequence", recipe=RECIPE)
        assert done.scores["worst"] == pytest.approx(done.scores["max_error"], rel=1e-6)
        learning = sum(p.requires_grad for p in done.model.encoder.parameters())  # type: ignore[union-attr]
        assert learning == 0


def test_own_backbone_object() -> None:
    data = TaskData.from_arrays("lab/waves", train=waves(40), test=waves(9))
    named = train(data, "nft", backbone="tiny-sequence", recipe=RECIPE)
    own = train(data, "nft", backbone=xmft.load_backbone("tiny-sequence"), recipe=RECIPE)
    assert own.scores == named.scores


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "recrft"}, "Did you mean 'recraft'"),
        ({"method": "recraft:papr"}, "has no variant 'papr'"),
        ({"method": "nft", "options": {"weight": 1}}, "Option 'weight' of method 'nft'"),
        (
            {"options": {"alignment_rate": 0}},
            "Option 'alignment_rate' of method 'recraft': input should be greater than 0 or "
            "'patches', found 0. ",
        ),
        ({"method": "orca", "source": "cifar10"}, "is for vision encoders"),
        ({"method": "nft", "backbone": "no/such/model"}, "neither a folder nor a model"),
    ],
)
def test_wrong_requests_are_one_sentence(arguments: dict[str, object], message: str) -> None:
    data = TaskData.from_arrays("lab/waves", train=waves(40), test=waves(9))
    with pytest.raises(RequestError, match=message):
        train(data, **{"backbone": "tiny-sequence", "recipe": RECIPE, **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize("metrics", [("error_pct",), ("auroc", "nrmse")])
def test_scores_for_another_kind_of_task_are_refused(metrics: tuple[str, ...]) -> None:
    data = TaskData.from_arrays("lab/waves", train=waves(40), test=waves(9), metrics=metrics)
    with pytest.raises(RequestError, match=f"metric '{metrics[0]}' is for .* Metrics for it: "):
        train(data, "nft", backbone="tiny-sequence", recipe=RECIPE)


def test_methods_for_another_kind_of_task_are_refused() -> None:
    data = TaskData.from_arrays("lab/classes", train=classes(45), test=classes(12))
    with pytest.raises(RequestError, match="'unet' is for dense tasks"):
        train(data, "unet", recipe=RECIPE)


def test_wrong_arrays_are_one_sentence() -> None:
    x, y = waves(20)
    for pair, message in (
        ((x, y[:7]), "20 inputs and 7 targets"),
        ((x, np.where(np.arange(32) == 3, np.nan, y)), "NaN or infinite"),
        ((np.zeros((20, 2, 3, 4, 5)), y), "expected float32"),
    ):
        with pytest.raises(DataError, match=message):
            TaskData.from_arrays("lab/x", train=pair, val=pair, test=pair)


def test_importing_the_package_imports_next_to_nothing() -> None:
    code = (
        "import sys, xmft\n"
        "loaded = {'torch', 'transformers', 'pydantic', 'numpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(xmft.__all__) <= set(dir(xmft))
    assert all(hasattr(xmft, name) for name in xmft.__all__)
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        xmft.trian  # noqa: B018


def test_predictions_are_of_the_device_and_precision() -> None:
    data = TaskData.from_arrays("lab/waves", train=waves(40), test=waves(9))
    half = RECIPE.model_copy(update={"precision": "bfloat16"})
    done = train(data, "nft", backbone="tiny-sequence", recipe=half, device=torch.device("cpu"))
    assert done.predict(waves(3)[0][:, None]).dtype == np.float32
