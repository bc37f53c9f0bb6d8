"""What is wrong with a mapping of a file or the command line, in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from xmft.errors import RequestError
from xmft.invalid import place_and_reason
from xmft.registry import nearest

M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], content: Mapping[str, Any], *, where: str) -> M:
    """Build `model` from a mapping; the first thing wrong becomes one sentence.

    Raises:
        RequestError: an unknown key, a missing one, or a value of the wrong type.
    """
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        raise RequestError(_sentence(model, error, content, where)) from None


def _sentence(
    model: type[BaseModel], error: ValidationError, content: Mapping[str, Any], where: str
) -> str:
    # A misspelt key explains a missing one, not the other way round.
    problem = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    path, reason = place_and_reason(error, content, problem)
    found = problem["input"]
    if problem["type"] == "extra_forbidden":
        return f"Unknown key '{path}' in {where}. {nearest(path, _fields_at(model, problem))}"
    if problem["type"] == "missing":
        return f"The key '{path}' is missing in {where}."
    sentence = f"'{path}' in {where}: {reason}, found {found!r}."
    if isinstance(found, str) and _is_number(found):
        sentence += f" YAML reads {found} as text; write {_yaml_number(found)}."
    return sentence


def _fields_at(model: type[BaseModel], problem: Any) -> Iterable[str]:
    """Return the keys that would have been right where the wrong one stood."""
    annotation: Any = model
    for part in problem["loc"][:-1]:
        fields = getattr(annotation, "model_fields", {})
        # A field of a model, or any key of a mapping, whose values are of one kind.
        annotation = fields[part].annotation if part in fields else get_args(annotation)[-1]
        models = [one for one in get_args(annotation) if hasattr(one, "model_fields")]
        if models and get_origin(annotation) is not dict:  # one that may be left out
            annotation = models[0]
    found: Iterable[str] = getattr(annotation, "model_fields", ())
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _yaml_number(text: str) -> str:
    """Write 1e-3 as YAML 1.1 wants it: with a point and a signed exponent, without quotes."""
    mantissa, e, exponent = text.strip().lower().partition("e")
    if not e:
        return mantissa
    point = "" if "." in mantissa else ".0"
    return f"{mantissa}{point}e{int(exponent):+d}"
