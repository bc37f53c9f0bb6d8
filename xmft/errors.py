"""Errors whose message is meant for the person at the keyboard.

Every message says what happened, what was found and what to do about it. The runner turns a
`RequestError` into exit code 2 and the others into failed rows of the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class XmftError(Exception):
    """Base of the errors below; never raised itself."""


class RequestError(XmftError):
    """The request itself is wrong: an unknown name, a bad value, an unwritable folder."""


class DataError(XmftError):
    """The data are missing, truncated, of the wrong shape, not finite or too few."""


class DivergedError(XmftError):
    """The loss became NaN or infinite."""


class StoppedError(XmftError):
    """The run was asked to stop, and has kept what it needs to go on."""


class TransportError(XmftError):
    """The solver of optimal transport ended without an optimal plan."""


class FileError(DataError):
    """A file is not what its name says; `mending` adds what to do about it.

    Attributes:
        path: The file, or the place in it.
        found: What was found.
        expected: What should have been there; empty where `found` says it all.
        between: What stands between `path` and `found`; a blank where they are one sentence.
        mend: What to do about it where another file would not help; empty: get a good one.
    """

    def __init__(
        self,
        path: object,
        found: str,
        expected: str = "",
        note: str = "",
        between: str = ": ",
        mend: str = "",
    ) -> None:
        # All of them, so that it can be pickled.
        super().__init__(path, found, expected, note, between, mend)
        self.path, self.found, self.expected, self.mend = path, found, expected, mend
        self.between, self._note = between, note

    def __str__(self) -> str:
        expected = f", expected {self.expected}" if self.expected else ""
        note = f" {self._note}" if self._note else ""
        return f"{self.path}{self.between}{self.found}{expected}.{note}"


@contextmanager
def mending(how: str) -> Iterator[None]:
    """Add to a `FileError` its own mend, or else the sentence that says how to get a good file."""
    try:
        yield
    except FileError as error:
        raise DataError(f"{error} {error.mend or how}") from error
