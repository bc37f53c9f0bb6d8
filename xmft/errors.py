"""Errors whose message is meant for the person at the keyboard.

Every message says what happened, what was found and what to do about it. The runner turns a
`RequestError` into exit code 2 and the others into failed rows of the ledger.
"""


class XmftError(Exception):
    """Base of the errors below; never raised itself."""


class RequestError(XmftError):
    """The request itself is wrong: an unknown name, a bad value, an unwritable folder."""


class DataError(XmftError):
    """The data are missing, truncated, of the wrong shape, not finite or too few."""


class DivergedError(XmftError):
    """The loss became NaN or infinite."""
