"""A cell: one task x method x backbone x seed, and the hash that stands for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from xmft.task import Protocol

# How the fingerprint of weights begins that were read from files (`xmft.backbones.files`, which
# needs torch). It says all of them, wherever they lie and whatever they are called.
FROM_FILES = "files:"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Everything that decides a cell's result, as plain values.

    Attributes:
        task: Name with the variant.
        recipe: Fields of the recipe that concern the method; what is left out is at its default.
        backbone: The pretrained model by its name, its id on the hub or the name of its folder;
            `none` for methods that use none.
        source: Source proxy with its version; None for methods that use none.
        weights: Fingerprint of the backbone's weights and tokenizer; `none` without a backbone.
        data: Fingerprint of the data and of how they are cut.
        method_config: The method's validated options.
        metric_versions: Metric name to version, main metric first.
        own_recipe: Fields of the recipe that the grid says of the method alone (`per_method`): part
            of what the method is, as its options are. A cell without any says nothing of it.
        plugins: Plug-ins of the user's that take part: what for and which, to the hash of their
            text. A cell without any says nothing of it.
        trial: Of a trial of a search: `study` and `number`, the epochs `until` which it trains and
            those `since` which it goes on; only `until` is part of the id. Others: nothing.
        tuned: Of a cell whose configuration a search chose: how many `trials` there were, by which
            `scheduler` and `algorithm`, a hash of the `space`, and the `fields` that were chosen.
    """

    task: str
    task_version: int
    method: str
    method_version: int
    method_config: dict[str, Any]
    recipe: dict[str, Any]
    backbone: str
    weights: str
    source: str | None
    protocol: Protocol
    seed: int
    data: str
    metric_versions: dict[str, int]
    own_recipe: list[str] = field(default_factory=list)
    plugins: dict[str, str] = field(default_factory=dict)
    trial: dict[str, Any] = field(default_factory=dict)
    tuned: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def config_json(self) -> str:
        """Canonical JSON of the cell; `metric_versions` keeps its order, main metric first."""
        content = {key: getattr(self, key) for key in self.__dataclass_fields__}
        ordered = {key: _sorted(content[key]) for key in sorted(content)}
        ordered["metric_versions"] = content["metric_versions"]
        for key in ("own_recipe", "plugins", "trial", "tuned"):
            if not content[key]:
                del ordered[key]
        return json.dumps(ordered, separators=(",", ":"), allow_nan=False)

    @cached_property
    def id(self) -> str:
        """The first 16 hex digits of the sha256 of `config_json`.

        The name of a backbone that is read from files is left out: their fingerprint says it. So
        is what names a trial and changes no number.
        """
        text = self.config_json
        if self.weights.startswith(FROM_FILES) or self.trial:
            content = json.loads(text)
            if self.weights.startswith(FROM_FILES):
                del content["backbone"]
            if self.trial:
                content["trial"] = {"until": self.trial["until"]}
            text = json.dumps(content, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"{self.task} {self.title} seed {self.seed}"

    @property
    def title(self) -> str:
        """The method, and what a search has to do with it."""
        if self.trial:
            return f"{self.method} trial {self.trial['number']} to epoch {self.trial['until']}"
        if self.tuned:
            return f"{self.method} tuned, {self.tuned['trials']} trials"
        return self.method

    @property
    def goes_on_from(self) -> str | None:
        """The id of the cell whose checkpoint a trial goes on from; None where it begins."""
        since = self.trial.get("since")
        return replace(self, trial={**self.trial, "until": since}).id if since else None

    @classmethod
    def from_json(cls, text: str) -> Cell:
        """Undo `config_json`."""
        return cls(**json.loads(text))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return value
