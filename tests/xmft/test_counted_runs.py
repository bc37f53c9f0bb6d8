"""What runs count: the same however they are cut into parts, and by hand where it is simple."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.xmft.test_resuming import Interrupted, Keeper
from xmft.fit import fit
from xmft.flops import Counts, counted
from xmft.model import CrossModalModel
from xmft.records import FitResult
from xmft.session import Session
from xmft.stages import Batch, Stage, shuffled_batches
from xmft.task import Recipe, TaskData
from xmft.training import train as train_all

Train = Callable[..., tuple[CrossModalModel, FitResult]]
ROWS, EPOCHS = {"train": 45, "val": 11, "test": 14}, 3


class Flat(nn.Module):
    """One matrix from all inputs to all outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(64, 32)

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.map(inputs.flatten(1)).unsqueeze(1)
        return output


def stage(**changes: Any) -> Stage:
    def objective(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"loss": (model(batch.inputs) - batch.targets).square().flatten(1).mean(dim=1)}

    facts = {
        "name": "fitting",
        "trains": ("map",),
        "objective": objective,
        "batches": shuffled_batches(ROWS["train"], 8, 0),
        "epochs": EPOCHS,
        "learning_rate": 1e-3,
        "account": "fit",
        "validates": True,
    }
    return Stage(**{**facts, **changes})


def test_a_linear_model_by_hand(dense_data: TaskData, recipe: Recipe) -> None:
    result = fit(Flat(), [stage()], dense_data, recipe, Session(), seed=0)
    product = 2 * 64 * 32
    # Forward and the gradient of the weights, for every sample in every epoch.
    assert result.flops["fit"] == 2 * product * ROWS["train"] * EPOCHS
    # After each epoch, and at the end both splits with the last parameters; those of the best
    # epoch, if that is another one, once more.
    passes = ROWS["val"] * EPOCHS + ROWS["val"] + ROWS["test"]
    again = ROWS["val"] + ROWS["test"]
    assert result.flops["eval"] in (product * passes, product * (passes + again))


def test_one_look_at_each_size_of_batch_is_enough_in_an_epoch(
    dense_data: TaskData, recipe: Recipe
) -> None:
    looks: list[int] = []

    def objective(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        if torch.utils._python_dispatch._get_current_dispatch_mode_stack():
            looks.append(len(batch.inputs))
        return {"loss": model(batch.inputs).square().flatten(1).mean(dim=1)}

    fit(Flat(), [stage(objective=objective)], dense_data, recipe, Session(), seed=0)
    assert looks == [8, 5] * EPOCHS


def test_an_operator_that_nobody_knows_makes_its_account_unknown(
    dense_data: TaskData, recipe: Recipe
) -> None:
    def objective(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        weight = torch.linalg.matrix_exp(model.map.weight[:, :32] * 1e-3)
        return {"loss": model(batch.inputs).square().flatten(1).mean(dim=1) + weight.sum() * 0}

    result = fit(Flat(), [stage(objective=objective)], dense_data, recipe, Session(), seed=0)
    assert result.flops["fit"] is None
    assert isinstance(result.flops["eval"], int)


@pytest.mark.parametrize("method", ["nft", "fno", "pare"])
def test_parts_of_batches_and_half_precision_take_the_same(
    method: str, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    _, whole = train(method, dense_data, recipe)
    assert whole.flops["fit"]
    _, parts = train(method, dense_data, recipe, micro_batch=3)
    assert parts.flops == whole.flops
    half = recipe.model_copy(update={"precision": "bfloat16"})
    assert train(method, dense_data, half)[1].flops == whole.flops


# Importing the compiler warns of what it uses itself.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_model_takes_what_it_takes_as_it_is_written(
    dense_data: TaskData, recipe: Recipe, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xmft.gradients._BACKEND", "aot_eager")  # generates no kernels
    _, plain = train("nft", dense_data, recipe)
    compiled = recipe.model_copy(update={"compile": True})
    assert train("nft", dense_data, compiled)[1].flops == plain.flops


@pytest.mark.parametrize("method", ["orca", "recraft", "mona", "recraft:released"])
def test_stages_that_align_have_their_account_and_repeat_exactly(
    method: str, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    (_, first), (_, second) = (train(method, dense_data, recipe) for _ in range(2))
    assert first.flops == second.flops
    assert all(first.flops[name] for name in ("align", "fit", "eval"))
    assert ("measure" in first.flops) == method.startswith("recraft")


@pytest.mark.parametrize("method", ["pare", "orca", "recraft", "mona"])
def test_the_first_step_stands_for_all_of_its_size(
    method: str,
    dense_data: TaskData,
    recipe: Recipe,
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Never(dict[str, Any]):
        def __contains__(self, key: object) -> bool:
            return False

    _, usual = train(method, dense_data, recipe)
    monkeypatch.setattr("xmft.fit.Counts", lambda: Counts(steps=Never(), passes=Never()))
    _, each = train(method, dense_data, recipe)
    assert usual.scores == each.scores
    total, exact = (sum(n for n in one.flops.values() if n) for one in (usual, each))
    # Classes are not equally many in all batches of one size.
    assert total == pytest.approx(exact, rel=0.03)


def test_a_checkpoint_from_before_goes_on_and_its_operations_are_unknown(
    dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    _, whole = train("nft", dense_data, recipe)

    class Before(Keeper):
        def restore(self) -> dict[str, Any] | None:
            state = super().restore()
            if state is not None:
                assert state["history"].pop("counts")["steps"]
            return state

    keeper = Before(dies_after=1)
    with pytest.raises(Interrupted):
        train("nft", dense_data, recipe, session=keeper)
    _, resumed = train("nft", dense_data, recipe, session=keeper)
    assert resumed.scores == whole.scores and resumed.resumed_epochs == 1
    assert resumed.flops == {"prepare": 0, "align": None, "fit": None, "eval": None}


@pytest.mark.parametrize("method", ["ridge", "kernel"])
def test_closed_forms_are_counted_where_they_are_fitted(method: str, dense_data: TaskData) -> None:
    trained = train_all(dense_data, method)
    prepared = trained.result.flops["prepare"]
    assert prepared is not None and trained.flops == prepared + trained.result.flops["eval"]
    n, d = ROWS["train"], 64
    # At least the eigenvectors of the smaller system.
    assert prepared > 9 * min(n, d) ** 3
    assert train_all(dense_data, method).flops == trained.flops


@pytest.mark.parametrize("method", ["knn", "logistic", "rocket"])
def test_what_is_fitted_outside_of_torch_is_counted(method: str, class_data: TaskData) -> None:
    options = {"kernels": 50} if method == "rocket" else {}
    trained = train_all(class_data, method, options=options)
    again = train_all(class_data, method, options=options)
    assert trained.result.flops == again.result.flops
    inputs = class_data.train.inputs
    # Each value of a validation sample meets one of every training sample; each look of a
    # regression at the training values has three logits; the shortest kernel has seven points.
    least = {
        "knn": 2 * inputs.size * len(class_data.val),
        "logistic": 4 * inputs.size * 3,
        "rocket": 2 * 50 * 7 * inputs[0, 0].size * len(inputs),
    }
    assert trained.result.flops["prepare"] >= least[method]


def test_untrained_baselines_take_nothing(dense_data: TaskData) -> None:
    assert train_all(dense_data, "mean").flops == 0


def test_what_is_kept_for_many_cells_is_in_none(
    dense_data: TaskData, recipe: Recipe, tmp_path: Any
) -> None:
    options = {"alignment_steps": 10, "source": {"samples": 64, "tokens": 8},
               "predictor": {"plain_steps": 5, "bounded_steps": 1}}  # fmt: skip
    cold, warm = (
        train_all(dense_data, "recraft", backbone="tiny-sequence", recipe=recipe,
                  options=options, cache=tmp_path).result.flops
        for _ in range(2)
    )  # fmt: skip
    assert cold == warm


def test_the_inner_count_is_part_of_the_outer_one() -> None:
    with counted() as outer:
        with counted() as inner:
            torch.eye(3) @ torch.eye(3)
        torch.eye(2) @ torch.eye(2)
    assert (inner.total, outer.total) == (54, 54 + 16)
