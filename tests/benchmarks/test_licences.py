"""Every task and every source has one row that says under which terms its data may be used."""

from __future__ import annotations

import fnmatch
from urllib.parse import urlsplit

import pytest

from benchmarks import catalog
from benchmarks.licences import UNKNOWN, licence_of, licences
from tests.runner.commands import output_of, xmft
from xmft.source import PROXIES


@pytest.mark.parametrize("name", [*catalog.names(), *PROXIES])
def test_tasks_and_sources_have_one(name: str) -> None:
    matching = [one for one in licences() if fnmatch.fnmatch(name, one.used_by)]
    assert len(matching) == 1
    assert licence_of(name) is matching[0]


def test_a_variant_has_that_of_its_task() -> None:
    assert licence_of("pdebench/darcy:beta1.0") is licence_of("pdebench/darcy")
    assert licence_of("mylab/waves") is None


def test_rows_belong_to_something_and_say_who_says_so() -> None:
    names = {*catalog.names(), *PROXIES}
    for one in licences():
        assert fnmatch.filter(names, one.used_by), one
        assert one.data_set and one.holder and one.licence and one.stated_by, one
        assert (one.licence == UNKNOWN) == (one.stated_by == "nobody"), one
        assert one.url == "" or urlsplit(one.url).scheme in ("http", "https"), one


def test_the_command_lists_them() -> None:
    every = output_of("data", "licences")
    assert all(one.used_by in every for one in licences())
    some = output_of("data", "licences", "pdebench/darcy:beta1.0", "nasbench360/e*")
    assert "CC BY 4.0" in some and "ODC-BY 1.0" in some and "nasbench360/cosmic" not in some
    assert xmft("data", "licences", "nasbench360/none").exit_code == 2
