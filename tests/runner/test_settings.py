"""`--set` on a grid, and narrowing it down."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from benchmarks import catalog
from runner.config import load_grid, select
from runner.ledger import Ledger
from runner.plan import make_plan
from tests.runner.grid_files import (
    MINIMAL,
    Write,
    message,
)
from xmft.errors import RequestError
from xmft.task import Recipe


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "0.001", "1E-3"])
def test_on_the_command_line_numbers_are_written_as_people_do(write: Write, text: str) -> None:
    grid = load_grid(write(MINIMAL), [f"learning_rate={text}"])
    assert grid.recipe_of("pdebench/advection").learning_rate == 0.001


def test_set_reaches_the_grid(write: Write) -> None:
    settings = [
        "seeds=[7, 8]",
        "backbone=tiny-sequence",
        "methods=[nft, orca]",
        "protocol=released",
    ]
    grid = load_grid(write(MINIMAL), settings)
    assert grid.seeds == [7, 8]
    assert grid.backbone == "tiny-sequence"
    assert grid.methods == ["nft", "orca"]
    assert grid.protocol == "released"


def test_set_reaches_the_recipe_of_every_task(write: Write) -> None:
    text = (
        "tasks: [pdebench/advection, pdebench/darcy]\nmethods: [nft]\n"
        "recipe: {epochs: 5, samples: 100}\n"
        "per_task:\n  pdebench/darcy: {samples: 50, resolution: 16}\n"
    )
    before = load_grid(write(text))
    assert [before.recipe_of(task).samples for task in before.tasks] == [100, 50]
    after = load_grid(write(text), ["samples=20"])
    assert [after.recipe_of(task).samples for task in after.tasks] == [20, 20]
    assert [after.recipe_of(task).epochs for task in after.tasks] == [5, 5]
    assert [after.recipe_of(task).resolution for task in after.tasks] == [None, 16]


def test_set_without_a_recipe_in_the_file(write: Write) -> None:
    grid = load_grid(write(MINIMAL), ["epochs=3", "clip_grad_norm=null", "recipe.layers=2"])
    recipe = grid.recipe_of("pdebench/advection")
    assert (recipe.epochs, recipe.clip_grad_norm, recipe.layers) == (3, None, 2)


def test_set_reaches_options(write: Write) -> None:
    text = MINIMAL + "options: {recraft: {alignment_steps: 5, predictor: {plain_steps: 3}}}"
    settings = [
        "recraft.predictor.threshold=0.5",
        "recraft.clusters=4",
        "orca.source.samples=100",
        "orca.alignment_rate=1e-4",
    ]
    assert load_grid(write(text), settings).options == {
        "recraft": {
            "alignment_steps": 5,
            "clusters": 4,
            "predictor": {"plain_steps": 3, "threshold": 0.5},
        },
        "orca": {"source": {"samples": 100}, "alignment_rate": 0.0001},
    }


VARIANTS = MINIMAL.replace("[nft]", "[recraft, 'recraft:released', 'recraft:alone']") + (
    "options: {recraft: {clusters: 4}, 'recraft:alone': {distortion_weight: 0}}"
)


def test_set_reaches_the_options_of_one_variant(write: Write) -> None:
    settings = ["recraft:alone.source.samples=100", "recraft:released.alignment_rate=1e-4"]
    grid = load_grid(write(VARIANTS), settings)
    assert grid.methods == ["recraft", "recraft:released", "recraft:alone"]
    assert grid.options == {
        "recraft": {"clusters": 4},
        "recraft:alone": {"distortion_weight": 0, "source": {"samples": 100}},
        "recraft:released": {"alignment_rate": 0.0001},
    }


def test_options_of_a_variant_stay_while_the_grid_is_narrowed_down(write: Write) -> None:
    grid = load_grid(write(VARIANTS), ["methods=[nft]"])
    assert set(grid.options) == {"recraft", "recraft:alone"}


@pytest.mark.parametrize("content", [VARIANTS, MINIMAL])
def test_options_of_a_variant_that_nobody_asks_for_are_refused(write: Write, content: str) -> None:
    text = message(write(content), "recraft:alon.clusters=3")
    assert "'recraft:alon', which is not among the methods of grid" in text
    assert ("Did you mean 'recraft:alone'?" in text) == (content is VARIANTS)


def test_the_last_set_wins(write: Write) -> None:
    grid = load_grid(write(MINIMAL), ["epochs=3", "epochs=4"])
    assert grid.recipe_of("pdebench/advection").epochs == 4


@pytest.mark.parametrize(
    ("setting", "parts"),
    [
        ("epochs", ["--set takes key=value", "'epochs'"]),
        ("=3", ["--set takes key=value", "'=3'"]),
        ("", ["--set takes key=value"]),
        ("epoch=3", ["Unknown setting 'epoch'", "Did you mean 'epochs'?", "method.option"]),
        ("learningrate=3", ["Unknown setting", "Did you mean 'learning_rate'?"]),
        ("epochs=many", ["'epochs' in recipe", "found 'many'"]),
        ("epochs=", ["'epochs' in recipe", "found None"]),
        ("recipe.epoch=3", ["Unknown key 'epoch' in recipe", "Did you mean 'epochs'?"]),
        ("seeds=3", ["'seeds'", "found 3"]),
    ],
)
def test_other_settings_are_refused(write: Write, setting: str, parts: list[str]) -> None:
    text = message(write(MINIMAL), setting)
    assert all(part in text for part in parts), text


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        ("recipe:\n", ["epochs=3"]),
        ("per_task:\n", ["epochs=3"]),
        ("options:\n", ["orca.clusters=3"]),
        ("options: {orca: }\n", ["orca.clusters=3"]),
        ("", ["orca.clusters=3", "orca.clusters.x=1"]),
        ("", ["description=2020-13-45"]),
        ("description: 2020-13-45\n", []),
    ],
)
def test_odd_content_is_a_wrong_request_too(
    write: Write, content: str, settings: list[str]
) -> None:
    # Either understood or refused in a sentence.
    with contextlib.suppress(RequestError):
        load_grid(write(MINIMAL + content), settings)


@pytest.mark.parametrize("value", ["inf", ".inf", "1e999"])
def test_an_infinite_rate_is_refused(write: Write, value: str) -> None:
    message(write(MINIMAL), f"learning_rate={value}")


def test_set_changes_one_of_two_that_share_an_anchor(write: Write) -> None:
    text = MINIMAL + "options:\n  orca: {source: &s {samples: 100}}\n  recraft: {source: *s}\n"
    options = load_grid(write(text), ["orca.source.samples=50"]).options
    assert options["orca"]["source"]["samples"] == 50
    assert options["recraft"]["source"]["samples"] == 100


NAMES = ["pdebench/advection", "pdebench/darcy", "pdebench/darcy:beta1.0", "nasbench360/ecg"]


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], NAMES),
        (["*"], NAMES),
        (["pdebench/*"], NAMES[:3]),
        (["*darcy"], [NAMES[1]]),
        (["*darcy*"], NAMES[1:3]),
        (["nasbench360/ecg,pdebench/advection"], [NAMES[0], NAMES[3]]),
        (["nasbench360/ecg", "pdebench/advection"], [NAMES[0], NAMES[3]]),
        (["pdebench/*", "*advection"], NAMES[:3]),
        (["*/???"], [NAMES[3]]),
    ],
)
def test_select_keeps_the_order_of_the_grid(patterns: list[str], expected: list[str]) -> None:
    assert select(NAMES, patterns, kind="task") == expected


@pytest.mark.parametrize("patterns", [["pdebench/darci"], ["*", "pdebench/darci"]])
def test_a_pattern_that_matches_nothing(patterns: list[str]) -> None:
    with pytest.raises(
        RequestError, match=r"No task of the grid matches 'pdebench/darci'.*Did you"
    ):
        select(NAMES, patterns, kind="task")


def test_a_misspelt_key_is_named_before_the_one_it_leaves_missing(write: Write) -> None:
    text = message(write("tasks: [pdebench/advection]\nmethod: [nft]\n"))
    assert "Unknown key 'method'" in text
    assert "Did you mean 'methods'?" in text


PER_TASK = (
    "tasks: [pdebench/advection, pdebench/darcy]\nmethods: [nft]\nbackbone: minilm\n"
    "per_task:\n  pdebench/darcy: {backbone: swin-base, source: cifar10, epochs: 5}\n"
)


def test_a_task_may_have_its_own_backbone_and_source(write: Write) -> None:
    grid = load_grid(write(PER_TASK))
    found = {
        task: (settings.backbone, settings.source, settings.epochs)
        for task in grid.tasks
        for settings in [grid.settings_of(task)]
    }
    assert found == {
        # Empty: the source of its backbone.
        "pdebench/advection": ("minilm", "", Recipe().epochs),
        "pdebench/darcy": ("swin-base", "cifar10", 5),
    }
    assert grid.recipe_of("pdebench/darcy") == Recipe(epochs=5)


@pytest.mark.parametrize("key", ["backbone", "source"])
def test_set_gives_all_tasks_the_same_backbone(write: Write, key: str) -> None:
    grid = load_grid(write(PER_TASK), [f"{key}=other"])
    assert {getattr(grid.settings_of(task), key) for task in grid.tasks} == {"other"}
    assert grid.settings_of("pdebench/darcy").epochs == 5


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([], ("", "cifar10")),
        # Text and vision side by side: each gives way to its like.
        (["source=conll2003"], ("conll2003", "cifar10")),
        (["source=procedural-images"], ("", "procedural-images")),
        (["source=conll2003", "source=procedural-images"], ("conll2003", "procedural-images")),
        # One backbone for all, one source for all; in either order.
        (["backbone=minilm", "source=conll2003"], ("conll2003", "conll2003")),
        (["source=conll2003", "backbone=minilm"], ("conll2003", "conll2003")),
        (["source=procedural-images", "backbone=swin-base"], ("procedural-images",) * 2),
        # Without a source nothing is guessed; the plan names the task whose source does not fit.
        (["backbone=minilm"], ("", "cifar10")),
    ],
)
def test_set_source_replaces_what_is_like_it(
    write: Write, settings: list[str], expected: tuple[str, str]
) -> None:
    grid = load_grid(write(PER_TASK), settings)
    assert tuple(grid.settings_of(task).source for task in grid.tasks) == expected


def test_the_published_grid_with_one_encoder_for_all(ledger: Ledger, data_root: Path) -> None:
    changes = ["methods=[nft, recraft]", "max_tokens=64", "backbone=tiny-sequence"]
    with pytest.raises(RequestError, match=r"'cifar10' of task 'pdebench/darcy' is for vision"):
        make_plan(load_grid("pdebench", changes), ledger, data_root)
    planned = make_plan(load_grid("pdebench", [*changes, "source=stdlib-docs"]), ledger, data_root)
    sources = {item.cell.source.partition("@")[0] for item in planned if item.cell.source}
    assert sources == {"stdlib-docs"}
    assert {item.cell.backbone for item in planned} == {"tiny-sequence"}


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        ("per_task: {pdebench/advection: {backbon: x}}", ["'backbon'", "mean 'backbone'"]),
        ("per_task: {pdebench/advection: {backbone: 3}}", ["'backbone' in recipe of", "found 3"]),
        ("recipe: {backbone: minilm}", ["Unknown key 'backbone' in recipe."]),
    ],
)
def test_wrong_settings_of_a_task_are_explained(write: Write, wrong: str, parts: list[str]) -> None:
    text = message(write(MINIMAL + wrong))
    assert all(part in text for part in parts), text


def test_the_published_grid_has_the_published_setting() -> None:
    grid = load_grid("pdebench")
    assert len(grid.tasks) == 9 and grid.seeds == [0, 1, 2]
    for task in grid.tasks:
        settings = grid.settings_of(task)
        two = len(catalog.get(task).problem.axes) == 2
        assert settings.backbone == ("swin-base" if two else "roberta-base")
        assert settings.batch_size == 4 and settings.samples is None
        assert settings.epochs == (100 if task == "pdebench/darcy" else 200)
        # The warm-up of 5 epochs, 10 for the shallow water.
        warm_up = settings.warmup * settings.epochs
        assert warm_up == pytest.approx(10 if task == "pdebench/shallow_water" else 5)


def test_the_small_grid_has_the_same_problems() -> None:
    small, published = load_grid("pdebench-small"), load_grid("pdebench")
    assert [task.partition(":")[0] for task in small.tasks] == published.tasks
    assert set(small.methods) <= set(published.methods)
    assert {small.settings_of(task).backbone for task in small.tasks} == {"minilm"}
