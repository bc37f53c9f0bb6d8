"""What a grid says of a search: how many trials, of what, and how bad ones end early."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from xmft.errors import RequestError
from xmft.recipe import Recipe
from xmft.registry import nearest

EVERY = "*"
OPTIONS = "options."
KINDS = ("log_uniform", "uniform", "int_uniform", "choice")
# What makes trials comparable: the data, and the length that the rungs divide.
FIXED = {
    "samples": "would give trials other data than the cells that follow have",
    "train_samples": "would give trials other data than the cells that follow have",
    "resolution": "would give trials other data than the cells that follow have",
    "epochs": "is the same for all trials, so that budgets are equal",
}


class Domain(BaseModel):
    """The values of one field, of which exactly one kind is said."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    log_uniform: list[float] | None = Field(
        None, min_length=2, max_length=2, description="lowest and highest; even on a log scale"
    )
    uniform: list[float] | None = Field(
        None, min_length=2, max_length=2, description="lowest and highest"
    )
    int_uniform: list[int] | None = Field(
        None, min_length=2, max_length=2, description="lowest and highest whole number"
    )
    choice: list[Any] | None = Field(None, min_length=1, description="the values themselves")

    @property
    def kind(self) -> str:
        """Which kind it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def values(self) -> list[Any]:
        """The two bounds, both among the values, or the choices."""
        found: list[Any] = getattr(self, self.kind)
        return found

    def check(self, where: str) -> None:
        """Make sure that it is one kind and not empty.

        Raises:
            RequestError: it is not; names `where`.
        """
        said = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(said) != 1:
            raise RequestError(
                f"{where} has {' and '.join(said) or 'no values'}; it takes exactly one of "
                f"{', '.join(KINDS)}."
            )
        if self.kind == "choice":
            return
        low, high = self.values
        if low >= high or (self.kind == "log_uniform" and low <= 0):
            above = " above 0" if self.kind == "log_uniform" else ""
            raise RequestError(
                f"{where}.{self.kind} is [{low}, {high}]; it takes the lowest and the highest "
                f"value{above}, in this order."
            )


class Search(BaseModel):
    """A search: `trials` configurations for each method on each task.

    The scheduler `halving` is synchronous successive halving, the rule of ASHA (Li et al. 2020)
    with rungs that are decided when all their trials have reported. The asynchronous rule promotes
    by the order of arrival, and would choose otherwise from run to run; `asha` is read as
    `halving`, and everything that is written down says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    trials: int = Field(ge=1, description="for each method on each task")
    scheduler: Literal["halving", "none"] = Field(
        "halving", description="halving (asha is read as it): bad trials end early; none: none do"
    )
    eta: int = Field(3, ge=2, description="of how many trials one goes on, to eta times the epochs")
    algorithm: Literal["random", "optuna"] = Field(
        "random", description="what proposes the trials; optuna needs the extra `search`"
    )
    batch: int = Field(4, ge=1, description="trials that optuna proposes before it hears results")
    seed: int | None = Field(
        None, ge=0, lt=2**63, description="of proposals and trials; null: the grid's first seed"
    )
    space: dict[str, dict[str, Domain]] = Field(
        min_length=1, description="method, method:variant or *: field or options.field: its values"
    )

    @field_validator("scheduler", mode="before")
    @classmethod
    def _synchronous(cls, name: Any) -> Any:
        return "halving" if name == "asha" else name

    def space_of(self, method: str, ignores: Collection[str] = ()) -> dict[str, Domain]:
        """Return the space of a method: that of all, changed by its own, and its variant's.

        Args:
            method: `method` or `method:variant`.
            ignores: Fields of the recipe that are no concern of it; what is said of all methods
                does not hold for them.
        """
        found = {
            name: domain
            for name, domain in self.space.get(EVERY, {}).items()
            if name not in ignores
        }
        for name in dict.fromkeys((method.partition(":")[0], method)):
            found |= self.space.get(name, {})
        return dict(sorted(found.items()))

    def mark(self, space: Mapping[str, Domain], seed: int) -> dict[str, Any]:
        """Return what tells tuned cells from others, and searches from one another."""
        said = [
            {name: domain.model_dump(exclude_none=True) for name, domain in space.items()},
            seed,
            self.eta if self.scheduler == "halving" else None,
            self.batch if self.algorithm == "optuna" else None,
        ]
        text = json.dumps(said, sort_keys=True)
        return {
            "trials": self.trials,
            "scheduler": self.scheduler,
            "algorithm": self.algorithm,
            "space": hashlib.sha256(text.encode()).hexdigest()[:16],
            "fields": sorted(space),
        }


def check_search(search: Search, methods: Sequence[str], *, where: str) -> None:
    """Make sure of all that can be seen without the methods' options.

    Args:
        search: The search.
        methods: Those of the grid.
        where: What the grid is called.

    Raises:
        RequestError: something is wrong.
    """
    for method, fields in search.space.items():
        place = f"search.space.{method}"
        for name, domain in fields.items():
            if name in FIXED:
                raise RequestError(f"'{name}' in {place} of {where} {FIXED[name]}. Leave it out.")
            of_recipe = name in Recipe.model_fields
            if method == EVERY and not of_recipe:
                raise RequestError(
                    f"'{name}' in {place} of {where} is no field of the recipe; options are said "
                    "of one method."
                )
            if not of_recipe and not name.startswith(OPTIONS):
                raise RequestError(
                    f"Unknown field '{name}' in {place} of {where}. "
                    f"{nearest(name, Recipe.model_fields)} Options of the method are written "
                    f"{OPTIONS}NAME."
                )
            domain.check(f"{place}.{name} of {where}")
        if ":" in method and method not in methods:
            raise RequestError(
                f"A space is given for '{method}', which is not among the methods of {where}. "
                f"{nearest(method, methods)}"
            )
