"""The publications that CITATION.cff names, by what it calls them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]


@cache
def _references() -> dict[str, dict[str, Any]]:
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    return {reference["notes"].lower(): reference for reference in content["references"]}


def citation_of(name: str) -> str:
    """Return the publication of a suite or a method as Markdown; empty if it is of none."""
    reference = _references().get(name.lower())
    if reference is None:
        return ""
    first, *others = reference["authors"]
    who = first["family-names"] + (" et al." if others else "")
    text = f"{who} ({reference['year']}), *{reference['title']}*, {reference['collection-title']}"
    for one in reference.get("identifiers", []):
        if one["value"].startswith("arXiv:"):
            number = one["value"].removeprefix("arXiv:")
            text += f", [arXiv {number}](https://arxiv.org/abs/{number})"
    return text


def all_citations() -> str:
    """Return all publications as a list."""
    return "\n".join(f"* **{one['notes']}**: {citation_of(one['notes'])}" for one in _ordered())


def _ordered() -> list[dict[str, Any]]:
    return list(_references().values())
