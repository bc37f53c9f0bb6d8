"""CITATION.cff says of the project what pyproject.toml says, and names what it builds on.

Its form is that of the Citation File Format 1.2.0: the keys that are required there, and no others
than there are.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.report.site.citations import citations
from xmft.methods import METHODS

ROOT = Path(__file__).parents[1]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REFERENCES = {reference["notes"]: reference for reference in CITATION["references"]}
# Of the specification's schema; https://doi.org/10.5281/zenodo.5171937.
REQUIRED = {"cff-version", "message", "title", "authors"}
OTHERS = {"abstract", "type", "version", "license", "keywords", "references"}
OF_A_REFERENCE = {"type", "title", "authors"}
BESIDE = {"notes", "year", "collection-title", "identifiers", "repository-code"}


def test_the_keys_are_those_of_the_format() -> None:
    assert CITATION["cff-version"] == "1.2.0" and CITATION["type"] == "software"
    assert CITATION.keys() >= REQUIRED
    assert CITATION.keys() <= REQUIRED | OTHERS
    for reference in CITATION["references"]:
        assert reference.keys() >= OF_A_REFERENCE
        assert reference.keys() <= OF_A_REFERENCE | BESIDE
        for author in reference["authors"]:
            assert author.keys() == {"family-names", "given-names"}
        for one in reference.get("identifiers", []):
            assert one["type"] in ("doi", "url", "swh", "other") and one["value"]


def test_it_says_what_the_project_says() -> None:
    assert CITATION["authors"] == PROJECT["authors"]
    assert str(CITATION["version"]) == PROJECT["version"]
    assert CITATION["license"] == PROJECT["license"]
    assert PROJECT["name"] in CITATION["title"]


@pytest.mark.parametrize("name", ["PDEBench", "NAS-Bench-360", "ORCA", "RECRAFT", "PaRe", "MoNA"])
def test_what_it_builds_on_is_named(name: str) -> None:
    assert REFERENCES[name]["year"] >= 2022


def test_methods_with_presets_of_publications_are_cited() -> None:
    cited = {name.lower() for name in REFERENCES}
    assert {method.name for method in METHODS.values() if method.presets} <= cited


def test_the_page_of_a_ledger_cites_the_same() -> None:
    shown = {one.name.replace("nasbench360", "nas-bench-360"): one for one in citations()}
    for name, reference in REFERENCES.items():
        one = shown[name.lower()]
        assert reference["title"] in one.text and str(reference["year"]) in one.text
        assert [author["family-names"] for author in reference["authors"]] == (
            one.text.partition(":")[0].split(", ")
        )
        number = next(i["value"] for i in reference["identifiers"] if i["type"] == "other")
        assert one.url == f"https://arxiv.org/abs/{number.removeprefix('arXiv:')}"
