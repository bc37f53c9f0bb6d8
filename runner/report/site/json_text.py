"""JSON that can stand in an HTML page, whatever texts it holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from runner.visible import visible

# What would end the element that the text stands in, or begin a comment there.
_IN_SCRIPT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


def plain(value: Any) -> Any:
    """Return a value as JSON has it, without what a browser would obey.

    Texts are as people may see them (`visible`), times are ISO 8601, and numbers that JSON lacks
    are the texts `nan`, `inf` and `-inf`.
    """
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {visible(str(key)): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def script_json(value: Any) -> str:
    """Return what `plain` returned as JSON that no HTML parser finds an end of a script in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.translate(_IN_SCRIPT)
