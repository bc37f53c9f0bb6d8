from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import catalog
from runner.config import Grid, load_grid, select, shipped_grids
from runner.ledger import Ledger
from runner.plan import make_plan
from xmft.backbones.weights import NAMED
from xmft.errors import RequestError
from xmft.methods import METHODS
from xmft.methods.variants import method_of, options_of
from xmft.source import PROXIES
from xmft.task import Recipe

MINIMAL = "tasks: [pdebench/advection]\nmethods: [nft]\n"
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return file


def message(name: str, *settings: str, task: str = "pdebench/advection") -> str:
    """Load a grid that is wrong and return the sentence that says so."""
    with pytest.raises(RequestError) as caught:
        load_grid(name, settings).recipe_of(task)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


@pytest.mark.parametrize("name", shipped_grids())
def test_shipped_grids_load_and_name_only_what_exists(name: str) -> None:
    grid = load_grid(name)
    assert grid.description
    assert grid.backbone in NAMED
    assert grid.source in PROXIES
    assert {method.partition(":")[0] for method in grid.methods} <= set(METHODS)
    assert set(grid.options) <= set(grid.methods)
    assert set(grid.per_task) <= set(grid.tasks)
    for task in grid.tasks:
        assert catalog.get(task).task.name
        written = {**grid.recipe, **grid.per_task.get(task, {})}
        settings = grid.settings_of(task).model_dump(mode="json")
        assert {key: settings[key] for key in written} == written
    for method in grid.methods:
        method_of(method).Config.model_validate(options_of(method, grid.options))
    for values in (grid.tasks, grid.methods, grid.seeds):
        assert len(set(values)) == len(values)


def test_quick_is_shipped() -> None:
    assert "quick" in shipped_grids()
    quick = load_grid("quick")
    assert quick.recipe_of("pdebench/advection").samples == 640
    assert quick.recipe_of("pdebench/diffusion_reaction_1d").samples == 320
    assert quick.recipe_of("pdebench/darcy:beta1.0").resolution == 32


def test_a_minimal_file_is_enough(write: Write) -> None:
    grid = load_grid(write(MINIMAL))
    assert (grid.tasks, grid.methods) == (["pdebench/advection"], ["nft"])
    assert (grid.seeds, grid.backbone, grid.protocol) == ([0, 1, 2], "minilm", "clean")
    assert grid.recipe_of("pdebench/advection") == Recipe()


def test_unknown_grid_gives_the_nearest_name() -> None:
    text = message("quik")
    assert "neither a shipped grid nor a readable YAML file" in text
    assert "Did you mean 'quick'?" in text


def test_a_folder_is_no_grid(tmp_path: Path) -> None:
    assert "neither a shipped grid nor a readable YAML file" in message(str(tmp_path))


def test_a_binary_file_is_no_grid(tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_bytes(b"\xff\xfe\x00\x80")
    assert "UnicodeDecodeError" in message(str(tmp_path / "grid.yaml"))


def test_invalid_yaml_says_where(write: Write) -> None:
    with pytest.raises(RequestError) as caught:
        load_grid(write("tasks: [pdebench/advection\nmethods: [nft]\n"))
    text = str(caught.value)
    assert "\n" not in text
    assert "mine.yaml is not valid YAML" in text
    assert "line 2" in text


@pytest.mark.parametrize("content", ["- pdebench/advection\n", "just text\n", "", "3\n"])
def test_something_else_than_a_mapping(write: Write, content: str) -> None:
    assert "must be a mapping with the keys tasks and methods" in message(write(content))


def test_missing_keys(write: Write) -> None:
    assert "The key 'methods' is missing in grid mine.yaml." in message(write("tasks: [a]\n"))
    assert "The key 'tasks' is missing in grid mine.yaml." in message(write("methods: [a]\n"))


@pytest.mark.parametrize(
    ("wrong", "key", "right"),
    [
        ("bakbone: minilm", "bakbone", "backbone"),
        ("task: [a]", "task", "tasks"),
        ("recipes: {}", "recipes", "recipe"),
        ("recipe: {epoch: 3}", "epoch", "epochs"),
        ("recipe: {learningrate: 0.1}", "learningrate", "learning_rate"),
        ("per_task: {pdebench/advection: {sample: 30}}", "sample", "samples"),
    ],
)
def test_unknown_keys_give_the_nearest_name(write: Write, wrong: str, key: str, right: str) -> None:
    text = message(write(MINIMAL + wrong))
    assert f"Unknown key '{key}'" in text
    assert f"Did you mean '{right}'?" in text


@pytest.mark.parametrize(
    ("options", "key", "right"),
    [
        ("orca: {alignment_step: 3}", "alignment_step", "alignment_steps"),
        ("orca: {source: {sampels: 30}}", "source.sampels", "samples"),
        ("recraft: {predictor: {treshold: 0.5}}", "predictor.treshold", "threshold"),
        ("recraft: {predictr: {threshold: 0.5}}", "predictr", "predictor"),
    ],
)
def test_unknown_options_give_the_nearest_name(
    write: Write, ledger: Ledger, data_root: Path, options: str, key: str, right: str
) -> None:
    content = (
        "tasks: [pdebench/advection]\nmethods: [orca, recraft]\nbackbone: tiny-sequence\n"
        f"options: {{{options}}}\n"
    )
    with pytest.raises(RequestError) as caught:
        make_plan(load_grid(write(content)), ledger, data_root)
    text = str(caught.value)
    assert f"Unknown key '{key}' in options of {options.partition(':')[0]}." in text
    assert f"Did you mean '{right}'?" in text


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"tasks": ["pdebench/advektion"]}, ["task 'pdebench/advektion'", "'pdebench/advection'"]),
        ({"tasks": ["pdebench/darcy:beta2.0"]}, ["variant 'beta2.0'", "beta1.0"]),
        ({"methods": ["orka"]}, ["method 'orka'", "Did you mean 'orca'"]),
        ({"source": "stdlib"}, ["source proxy 'stdlib'", "'stdlib-docs'"]),
        ({"options": {"recraf": {}}}, ["'recraf' in options", "Did you mean 'recraft'"]),
    ],
)
def test_unknown_names_give_the_nearest_one(
    tiny_grid: Callable[..., Grid],
    ledger: Ledger,
    data_root: Path,
    changes: dict[str, Any],
    parts: list[str],
) -> None:
    with pytest.raises(RequestError) as caught:
        make_plan(tiny_grid(**changes), ledger, data_root)
    assert all(part in str(caught.value) for part in ["Unknown", *parts])


def test_per_task_names_tasks_of_the_grid(write: Write) -> None:
    content = MINIMAL + "per_task: {pdebench/advektion: {epochs: 2}}\n"
    text = message(write(content))
    assert "'pdebench/advektion' in per_task" in text
    assert "Did you mean 'pdebench/advection'?" in text


def test_a_grid_narrowed_down_keeps_what_it_says_of_its_other_tasks(write: Write) -> None:
    content = MINIMAL + "per_task: {pdebench/advection: {epochs: 2}}\n"
    grid = load_grid(write(content), ["tasks=[pdebench/darcy]"])
    assert grid.tasks == ["pdebench/darcy"]


@pytest.mark.parametrize(
    ("wrong", "parts"),
    [
        ("seeds: 3", ["'seeds'", "list", "found 3"]),
        ("seeds: [one]", ["'seeds.0'", "integer", "found 'one'"]),
        ("seeds: []", ["'seeds'", "at least 1 item"]),
        ("backbone: 3", ["'backbone'", "string", "found 3"]),
        ("protocol: published", ["'protocol'", "'clean' or 'released'", "found 'published'"]),
        ("recipe: [1]", ["'recipe'", "dictionary", "found [1]"]),
        ("recipe: {epochs: 2.5}", ["'epochs' in recipe", "integer", "found 2.5"]),
        ("recipe: {epochs: 0}", ["'epochs' in recipe", "greater than or equal to 1", "found 0"]),
        ("recipe: {epochs: true}", ["'epochs' in recipe", "integer", "found True"]),
        ("recipe: {epochs: null}", ["'epochs' in recipe", "integer", "found None"]),
        ("recipe: {learning_rate: fast}", ["'learning_rate'", "number", "found 'fast'"]),
        ("recipe: {learning_rate: 0}", ["'learning_rate'", "greater than 0", "found 0"]),
        ("recipe: {learning_rate: .nan}", ["'learning_rate'", "found nan"]),
        ("recipe: {precision: float16}", ["'precision'", "'float32' or 'bfloat16'"]),
        ("recipe: {samples: 5}", ["'samples'", "greater than or equal to 10"]),
        ("recipe: {betas: [0.9]}", ["'betas.1' is missing"]),
    ],
)
def test_wrong_values_are_shown_with_what_was_expected(
    write: Write, wrong: str, parts: list[str]
) -> None:
    text = message(write(MINIMAL + wrong))
    assert all(part in text for part in parts), text


def test_a_number_that_yaml_reads_as_text_is_explained(write: Write) -> None:
    # PyYAML follows YAML 1.1, where a number with an exponent needs a point.
    assert yaml.safe_load("1e-3") == "1e-3"
    text = message(write(MINIMAL + "recipe: {learning_rate: 1e-3}"))
    assert "'learning_rate' in recipe" in text
    assert "found '1e-3'" in text
    assert "YAML reads 1e-3 as text; write 1.0e-3." in text
    grid = load_grid(write(MINIMAL + "recipe: {learning_rate: 1.0e-3}"))
    assert grid.recipe_of("pdebench/advection").learning_rate == 0.001


def test_the_advice_on_a_number_can_be_followed(write: Write) -> None:
    text = message(write(MINIMAL + "recipe: {learning_rate: 1e2}"))
    advice = text.rpartition("write ")[2].rstrip(".")
    assert yaml.safe_load(advice) == 100.0


def test_the_advice_on_a_quoted_whole_number_can_be_followed(write: Write) -> None:
    text = message(write(MINIMAL + 'recipe: {epochs: "20"}'))
    advice = text.rpartition("write ")[2].rstrip(".")
    Recipe(epochs=yaml.safe_load(advice))


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
