"""Named entries with a helpful answer to a wrong name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from xmft.errors import RequestError

T = TypeVar("T")


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

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name`.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._entries:
            raise ValueError(f"The {self.kind} '{name}' is registered twice.")
        self._entries[name] = entry
        return entry

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
