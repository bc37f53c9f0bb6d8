"""Grid files: what is read, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import catalog
from runner.config import Grid, load_grid
from runner.grid_files import shipped_grids
from runner.ledger import Ledger
from runner.plan import make_plan
from tests.runner.grid_files import (
    MINIMAL,
    Write,
    message,
)
from xmft.backbones.weights import NAMED
from xmft.errors import RequestError
from xmft.methods import METHODS
from xmft.methods.variants import method_of, options_of
from xmft.source import PROXIES
from xmft.task import Recipe


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


def test_full_has_the_cells_of_both_suites() -> None:
    full = load_grid("full")
    assert full.tasks == [*load_grid("pdebench").tasks, *load_grid("nasbench360").tasks]
    for name in ("pdebench", "nasbench360"):
        suite = load_grid(name)
        for task in suite.tasks:
            for method in set(full.methods) & set(suite.methods):
                assert full.settings_of(task, method) == suite.settings_of(task, method)
                assert full.left_out(method) & set(suite.tasks) == suite.left_out(method)


def test_joined_grids_keep_what_they_say_and_give_way_to_what_is_said_of_all(
    write: Write, tmp_path: Path
) -> None:
    first = {"tasks": ["pdebench/burgers"], "methods": ["nft"], "recipe": {"epochs": 3}}
    second = {
        "tasks": ["pdebench/advection"],
        "methods": ["nft"],
        "backbone": "swin-base",
        "per_task": {"pdebench/advection": {"batch_size": 9}},
    }
    for number, content in enumerate((first, second)):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(content))
    parts = [str(tmp_path / f"{number}.yaml") for number in range(2)]
    text = f"join: {parts}\nmethods: [nft]\nrecipe: {{batch_size: 5, epochs: 7}}\n"
    grid = load_grid(write(text))
    assert grid.tasks == ["pdebench/burgers", "pdebench/advection"]
    burgers, advection = map(grid.settings_of, grid.tasks)
    usual = Recipe()
    assert (burgers.epochs, burgers.batch_size, burgers.backbone) == (3, usual.batch_size, "minilm")
    assert (advection.epochs, advection.batch_size) == (usual.epochs, 9)
    assert advection.backbone == "swin-base"
    changed = load_grid(write(text), ["epochs=1", "backbone=minilm"])
    assert {changed.settings_of(task).epochs for task in changed.tasks} == {1}
    assert {changed.settings_of(task).backbone for task in changed.tasks} == {"minilm"}


@pytest.mark.parametrize(
    "text, parts",
    [
        ("join: pdebench\nmethods: [nft]\n", ["'join' of grid", "list grids, found 'pdebench'"]),
        ("join: [pdebnch]\nmethods: [nft]\n", ["Grid 'pdebnch' is neither", "pdebench"]),
        ("join: [full]\nmethods: [nft]\n", ["joins full.yaml, which joins others itself"]),
        (
            "join: [pdebench-small, pdebench]\nmethods: [nft]\n",
            ["do not agree on per_method of 'fno'"],
        ),
    ],
)
def test_what_cannot_be_joined(write: Write, text: str, parts: list[str]) -> None:
    explained = message(write(text))
    assert all(part in explained for part in parts), explained


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
    (tmp_path / "grid.yaml").write_bytes(b"\x89HDF\r\n\x1a\n")
    text = message(str(tmp_path / "grid.yaml"))
    assert "grid.yaml is no UTF-8 text (byte 0x89 in line 1). Save it as UTF-8" in text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_editors_that_mark_their_encoding(encoding: str, tmp_path: Path) -> None:
    """Notepad and PowerShell write a byte order mark, and lines that end in CR LF."""
    text = "description: größer ± 1\r\n" + MINIMAL.replace("\n", "\r\n")
    (tmp_path / "grid.yaml").write_bytes(text.encode(encoding))
    grid = load_grid(str(tmp_path / "grid.yaml"))
    assert grid.description == "größer ± 1"
    assert grid.tasks == ["pdebench/advection"]


@pytest.mark.parametrize(
    ("encoding", "reason"),
    [("latin-1", "byte 0xf6 in line 3"), ("utf-16-le", "without a byte order mark")],
)
def test_encodings_that_would_be_a_guess(encoding: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_bytes((MINIMAL + "description: größer\n").encode(encoding))
    assert reason in message(str(tmp_path / "grid.yaml"))


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
        ({"resources": {"recraf": {}}}, ["'recraf' in resources", "Did you mean 'recraft'"]),
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


@pytest.mark.parametrize("said", ["per_task: {%s: {epochs: 2}}", "resources: {%s: {cpus: 2}}"])
def test_tasks_that_a_grid_says_something_of_are_its_own(write: Write, said: str) -> None:
    text = message(write(MINIMAL + said % "pdebench/advektion"))
    assert f"'pdebench/advektion' in {said.partition(':')[0]}" in text
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
