"""Named entries with a helpful answer to a wrong name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from xmft.errors import RequestError

T = TypeVar("T")

# The plug-in that is being imported.
_owner: ContextVar[str | None] = ContextVar("owner", default=None)
_registries: list[Registry[Any]] = []


@contextmanager
def registering(owner: str) -> Iterator[None]:
    """Note `owner`, a plug-in, as the one whose entries are added inside."""
    token = _owner.set(owner)
    try:
        yield
    finally:
        _owner.reset(token)


def owned(owner: str) -> list[str]:
    """Return the names of all entries that a plug-in added, whatever they are."""
    return [name for registry in _registries for name in registry if registry.owner(name) == owner]


def forget(owner: str) -> None:
    """Take out all entries that a plug-in added, before it is imported again."""
    for registry in _registries:
        registry.drop(owner)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the tail of an error message: the nearest right name, then all of them.

    Args:
        name: What the user wrote.
        known: The names that would have been right.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    return f"{hint}Known: {', '.join(names) or 'none'}."


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from name to entry that refuses duplicates and explains unknown names."""

    def __init__(self, kind: str) -> None:
        """Create an empty registry; `kind` ("method", "task") names an entry in messages."""
        self.kind = kind
        self._entries: dict[str, T] = {}
        self._owners: dict[str, str] = {}
        _registries.append(self)

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name`.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._entries:
            raise ValueError(f"The {self.kind} '{name}' is registered twice.")
        self._entries[name] = entry
        if (owner := _owner.get()) is not None:
            self._owners[name] = owner
        return entry

    def owner(self, name: str) -> str | None:
        """Return the plug-in that added an entry; None for entries of this project."""
        return self._owners.get(name)

    def drop(self, owner: str) -> None:
        """Take out the entries that a plug-in added."""
        for name in [name for name, whose in self._owners.items() if whose == owner]:
            del self._entries[name], self._owners[name]

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of `add`."""
        return lambda entry: self.add(name, entry)

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise RequestError(
                f"Unknown {self.kind} '{name}'. {nearest(name, self._entries)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
