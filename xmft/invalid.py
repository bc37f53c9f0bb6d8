"""What pydantic found wrong with a value, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails


def place_and_reason(
    error: ValidationError, content: Mapping[str, Any], problem: ErrorDetails | None = None
) -> tuple[str, str]:
    """Return where something is wrong, and what should be there.

    Of a value that may be one of several types pydantic tells a fault for each, at places that end
    in the name of the type; here they are one.

    Args:
        error: What was raised.
        content: What was validated.
        problem: The one of its errors that is meant; None: the first.
    """
    problems = error.errors()
    path = _place(problem or problems[0], content)
    alike = [one for one in problems if _place(one, content) == path]
    reasons = list(dict.fromkeys(one["msg"] for one in alike))
    first = reasons[0][0].lower() + reasons[0][1:]
    others = [one.removeprefix("Input should be ") for one in reasons[1:]]
    return ".".join(map(str, path)), " or ".join([first, *others])


def _place(problem: ErrorDetails, content: Any) -> tuple[int | str, ...]:
    """Return the keys of a problem's place, without the name of a type behind them."""
    path: list[int | str] = []
    for part in problem["loc"]:
        if isinstance(content, Mapping) and (part in content or problem["type"] == "missing"):
            content = content.get(part)
        elif isinstance(content, list | tuple) and isinstance(part, int):
            content = content[part] if part < len(content) else None
        else:
            break
        path.append(part)
    return tuple(path)
