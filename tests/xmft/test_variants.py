from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pydantic import Field

from xmft.errors import RequestError
from xmft.methods import METHODS, Context, Method
from xmft.methods.method import MethodConfig
from xmft.methods.variants import (
    method_of,
    options_of,
    overridden_fields,
    overridden_options,
)
from xmft.registry import Registry
from xmft.stages import Stage


class Inner(MethodConfig):
    one: int = 1
    two: int = 2


class Toy(Method):
    name, version, title = "toy", 1, "for tests"
    presets: Mapping[str, Mapping[str, Any]] = {  # type: ignore[misc]
        "released": {"steps": 60, "inner": {"one": 10}},
        "paper": {"steps": 7},
    }

    class Config(MethodConfig):
        steps: int = Field(3, ge=1)
        rate: float = 0.1
        inner: Inner = Inner()

    def stages(self, context: Context) -> list[Stage]:
        return []


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """The whole configuration of the toy's variant under the given options."""
    monkeypatch.setitem(METHODS._entries, "toy", Toy)  # type: ignore[attr-defined]

    def of(name: str, **options: Any) -> dict[str, Any]:
        written = {key.replace("__", ":"): value for key, value in options.items()}
        return method_of(name).Config.model_validate(options_of(name, written)).model_dump()

    return of


DEFAULT = {"steps": 3, "rate": 0.1, "inner": {"one": 1, "two": 2}}


def test_without_options_everything_is_at_its_default(config: Callable[..., Any]) -> None:
    assert config("toy") == DEFAULT


def test_a_preset_changes_what_it_names(config: Callable[..., Any]) -> None:
    assert config("toy:released") == {"steps": 60, "rate": 0.1, "inner": {"one": 10, "two": 2}}
    assert config("toy:paper") == DEFAULT | {"steps": 7}


def test_the_nearer_layer_wins_key_by_key(config: Callable[..., Any]) -> None:
    options = {
        "toy": {"steps": 5, "rate": 0.2, "inner": {"one": 5, "two": 6}},
        "toy__released": {"rate": 0.3},
        "toy__mine": {"inner": {"two": 9}},
    }
    assert config("toy", **options) == options["toy"]
    released = {"steps": 60, "rate": 0.3, "inner": {"one": 10, "two": 6}}
    assert config("toy:released", **options) == released
    mine = {"steps": 5, "rate": 0.2, "inner": {"one": 5, "two": 9}}
    assert config("toy:mine", **options) == mine
    assert config("toy:paper", **options) == options["toy"] | {"steps": 7}


def test_presets_and_options_stay_as_they_are(config: Callable[..., Any]) -> None:
    options = {"toy": {"inner": {"two": 6}}, "toy__released": {"inner": {"one": 0}}}
    config("toy:released", **options)
    assert Toy.presets["released"] == {"steps": 60, "inner": {"one": 10}}
    assert options == {"toy": {"inner": {"two": 6}}, "toy__released": {"inner": {"one": 0}}}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("toi", ["Unknown method 'toi'", "Did you mean 'toy'?"]),
        ("toi:released", ["Unknown method 'toi'", "Did you mean 'toy'?"]),
        ("toy:relesed", ["no variant 'relesed'", "mean 'released'?", "Known: paper, released."]),
        ("toy:mine", ["needs an entry 'toy:mine' under options"]),
        ("toy:", ["'toy:'", "one word"]),
        ("toy:a:b", ["'toy:a:b'", "one word"]),
        ("toy:../a", ["one word"]),
        ("toy:a.b", ["one word"]),
    ],
)
def test_wrong_names_are_explained(config: Callable[..., Any], name: str, parts: list[str]) -> None:
    with pytest.raises(RequestError) as caught:
        config(name)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_every_preset_fits_its_method() -> None:
    assert isinstance(METHODS, Registry)
    for name, method in METHODS.items():
        for preset in method.presets:
            config = method.Config.model_validate(options_of(f"{name}:{preset}", {}))
            assert config != method.Config(), f"{name}:{preset} changes nothing"


def test_what_a_preset_replaces_is_said(config: Callable[..., Any]) -> None:
    options: dict[str, dict[str, Any]] = {"toy": {"steps": 5, "inner": {"one": 3, "two": 4}}}
    assert overridden_options("toy:released", options) == (
        "toy:released: its preset says steps 60, inner.one 10, not options.toy's 5, 3; say it "
        "under options 'toy:released' to have it."
    )
    assert overridden_options("toy:paper", options).startswith("toy:paper: its preset says steps 7")
    # Said of the variant itself, the user's word wins, and what nobody changed is no loss.
    options["toy:released"] = {"steps": 5, "inner": {"one": 3}}
    assert overridden_options("toy:released", options) == ""
    assert overridden_options("toy:paper", {"toy": {"steps": 7, "rate": 0.2}}) == ""
    assert overridden_options("toy", options) == overridden_options("toy:released", {}) == ""


def test_a_preset_tells_which_fields_of_the_recipe_it_replaces(
    config: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toy, "preset_recipes", {"paper": {"amplitude": False, "epochs": 9}})
    said = {"amplitude": True, "epochs": 9, "warmup": 0.5}
    assert overridden_fields("toy:paper", said) == (
        "toy:paper: its preset says amplitude false, not the recipe's true; say it under "
        "per_method 'toy:paper' to have it."
    )
    assert overridden_fields("toy:paper", {}) == overridden_fields("toy", said) == ""
