"""Families of pretrained encoders: what differs from one architecture to another, by name.

A family is a file of this package: importing it registers the family, and the package imports all
of its modules.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from xmft.backbones.backbone import Backbone
from xmft.backbones.weights import NAMED, Modality, Named
from xmft.errors import RequestError
from xmft.recipe import Recipe
from xmft.registry import Registry


@dataclass(frozen=True, kw_only=True)
class BackboneSize:
    """What the configuration of a backbone says; its weights need not be there.

    Attributes:
        name: The backbone, as the user named it.
        family: What it belongs to.
        layers: Encoder layers.
        positions: Longest sequence; None for an encoder that resizes what it reads.
    """

    name: str
    family: Family
    layers: int
    positions: int | None

    @property
    def modality(self) -> Modality:
        """What the encoder was pretrained on."""
        return self.family.modality

    def check(self, recipe: Recipe, *, axes: int | None = None, task: str = "") -> None:
        """Refuse what the backbone cannot do, before its weights are read.

        Args:
            recipe: The recipe, or settings that begin with one.
            axes: Axes of one input of the task; None where they are not known.
            task: Name of the task, for the message.

        Raises:
            RequestError: the recipe or the task is not for this backbone.
        """
        self.family.check(self, recipe, axes=axes, task=task)


class Family(ABC):
    """Encoders that are read, measured and taken apart in one way.

    Attributes:
        name: Name in the registry.
        modality: What its encoders were pretrained on.
        title: Its encoders in a sentence, with an article.
        names: Backbones that have a name of their own, a tiny one for tests among them.
        general: Whether it takes whatever looks like its own; such a family is asked last.
    """

    name: ClassVar[str]
    modality: ClassVar[Modality]
    title: ClassVar[str]
    names: ClassVar[Mapping[str, Named]] = {}
    general: ClassVar[bool] = False

    @abstractmethod
    def matches(self, config: Any) -> bool:
        """Tell whether a configuration of transformers is of this family."""

    @abstractmethod
    def layers(self, config: Any) -> int:
        """Return the number of encoder layers."""

    def positions(self, config: Any) -> int | None:
        """Return the longest sequence; None, the default, for an encoder of one length."""
        return None

    def check_source(self, name: str) -> None:  # noqa: B027
        """Refuse a backbone that samples of a source cannot be made for; by default none is.

        Args:
            name: The backbone, as the user named it.

        Raises:
            RequestError: what makes them, such as a tokenizer, is missing or of another model.
        """

    def check_body(self, body: Any, name: str) -> None:  # noqa: B027
        """Refuse a model that cannot be taken apart; by default every one can.

        Args:
            body: As transformers builds it; its tensors may have no values.
            name: The backbone, as the user named it.

        Raises:
            RequestError: it is no model that can be used.
        """

    @abstractmethod
    def take_apart(self, body: Any, name: str, fingerprint: str) -> Backbone:
        """Make a backbone of a model that transformers has read.

        Args:
            body: The model, in evaluation mode; it may be changed.
            name: The backbone, as the user named it.
            fingerprint: Identity of its files.

        Raises:
            RequestError: it is no model that can be used.
        """

    def check(self, size: BackboneSize, recipe: Recipe, *, axes: int | None, task: str) -> None:
        """Refuse what an encoder of this size cannot do; see `BackboneSize.check`.

        Raises:
            RequestError: more layers or positions are asked for than there are.
        """
        if recipe.layers is not None:
            check_layers(size.name, recipe.layers, size.layers, task=task)
        if size.positions is not None and recipe.max_tokens > size.positions:
            raise RequestError(
                f"max_tokens={recipe.max_tokens}{of_task(task)}, but backbone '{size.name}' has "
                f"{size.positions} positions."
            )


FAMILIES: Registry[Family] = Registry("backbone family")

F = TypeVar("F", bound=type[Family])


def register(family: F) -> F:
    """Register a family and the names of its backbones; decorates the class.

    Raises:
        ValueError: the family, or a name of it, is taken.
    """
    FAMILIES.add(family.name, family())
    for name, entry in family.names.items():
        NAMED.add(name, entry)
    return family


def family_of(name: str, config: Any) -> Family:
    """Return the family of a backbone.

    Args:
        name: The backbone, as the user named it.
        config: Its configuration.

    Raises:
        RequestError: the architecture is of none.
    """
    for family in sorted(FAMILIES.values(), key=lambda family: family.general):
        if family.matches(config):
            return family
    raise not_an_encoder(name, config.model_type)


def not_an_encoder(name: str, what: str) -> RequestError:
    """Return the error for an architecture of the wrong kind."""
    known = sorted(FAMILIES.values(), key=lambda family: (not family.general, family.name))
    *first, last = (family.title for family in known)
    return RequestError(
        f"Backbone '{name}' ({what}) is neither {', '.join(first)} nor {last}. Choose another "
        "with --set backbone=NAME (`xmft list backbones`)."
    )


def check_layers(name: str, count: int, there: int, *, task: str = "") -> None:
    """Make sure that a backbone has as many layers as are kept.

    Args:
        name: The backbone, as the user named it.
        count: Layers kept.
        there: Layers that it has.
        task: Name of the task, for the message.

    Raises:
        RequestError: it has fewer.
    """
    if count > there:
        raise RequestError(
            f"layers={count}{of_task(task)}, but backbone '{name}' has {there} layers."
        )


def of_task(task: str) -> str:
    """Return what follows a setting in a message: the task that it holds for, if it is known."""
    return f" ({task})" if task else ""
