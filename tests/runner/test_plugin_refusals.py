"""Plug-ins that are not there, cannot be imported or register nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runner.plugins import install, read_plugins
from tests.runner.plugin_texts import METHOD, METRIC
from xmft.errors import RequestError
from xmft.methods import METHODS

Write = Callable[[str, str], str]


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("waves.py", "x = 1\n\nraise ValueError('no sea')\n", ["ValueError: no sea", "line 3"]),
        ("waves.py", "x = 1\ndef (\n", ["SyntaxError", "line 2"]),
        ("waves.py", "import no_such_sea\n", ["no_such_sea", "line 1"]),
        ("waves.py", "x = 1\n", ["registers nothing", "benchmarks.add_task"]),
        ("json.py", METHOD, ["Rename the file"]),
        ("torch.py", METHOD, ["torch.py", "Rename the file"]),
        ("two-words.py", METHOD, ["Rename the file"]),
    ],
)
def test_a_bad_plug_in_is_refused_in_a_sentence(
    write_plugin: Write, name: str, text: str, parts: list[str]
) -> None:
    with pytest.raises(RequestError) as caught:
        install(read_plugins([write_plugin(name, text)]))
    for part in parts:
        assert part in str(caught.value)
    assert "mine" not in METHODS


@pytest.mark.parametrize("name", ["no_such_module.tasks", "no/such/file.py", "runner.plan"])
def test_a_plug_in_that_is_not_there(name: str) -> None:
    with pytest.raises(RequestError, match=name):
        read_plugins([name])


def test_a_bad_plug_in_can_be_mended(write_plugin: Write) -> None:
    for text in (METHOD + "raise ValueError\n", "x = 1\n"):
        with pytest.raises(RequestError):
            install(read_plugins([write_plugin("waves.py", text)]))
    install(read_plugins([write_plugin("waves.py", METHOD)]))
    assert METHODS.owner("mine") == "waves"


def test_two_files_of_one_name_are_refused(write_plugin: Write) -> None:
    files = [write_plugin("a/waves.py", METHOD), write_plugin("b/waves.py", METRIC)]
    with pytest.raises(RequestError, match="Two plug-ins are called 'waves'"):
        read_plugins(files)
