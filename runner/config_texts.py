"""Configurations of many cells: checked, and parsed once where only the seed differs."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from runner.cell import Cell

_SEED = ',"seed":'
# Stands for the seed of a text whose place is to be made sure of; no seed of anybody's.
_PROBE = -8_317_402_955_021
# What every configuration says.
_SAID = {one.name for one in fields(Cell) if one.default is one.default_factory is MISSING}


def check_configurations(table: pa.Table) -> None:
    """Refuse rows whose configuration is not that of a cell.

    Raises:
        ValueError: it is not.
    """
    if "config_json" not in table.column_names:
        return
    for text in pc.unique(table["config_json"]).to_pylist():
        found = json.loads(text or "null")
        if not isinstance(found, dict) or not found.keys() >= _SAID:
            raise ValueError("its configuration is not that of a cell")


class ConfigParser:
    """Parses the `config_json` of cells; those that differ in the seed alone share their parts.

    So do not change what it returns.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {}

    def __call__(self, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the configuration that a text holds, and a place to remember things of it.

        What is remembered there holds for all cells that differ in the seed alone.
        """
        head, mark, tail = text.rpartition(_SEED)
        number, comma, rest = tail.partition(",")
        if not (mark and comma and number.isascii() and number.isdigit()):
            return self._whole(text)
        shared = self._known.get((head, rest))
        if shared is None:
            probed = json.loads(f"{head}{mark}{_PROBE}{comma}{rest}")
            if probed.get("seed") != _PROBE:  # the seed of something within the configuration
                return self._whole(text)
            shared = self._known[head, rest] = (probed, {})
        return {**shared[0], "seed": int(number)}, shared[1]

    def _whole(self, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
        if (text, "") not in self._known:
            self._known[text, ""] = (json.loads(text), {})
        return self._known[text, ""]
