"""Requests that are made again where a store or a network lost them."""

from __future__ import annotations

import errno
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")

_TRIES = 4
_FIRST_PAUSE_S = 0.25
# What asking again does not change. Object stores say it in the text of the error alone.
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError)
_FINAL_NUMBERS = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.ENOTDIR, errno.ENAMETOOLONG)
_FINAL_TEXT = re.compile(
    r"ACCESS_DENIED|NO_SUCH_|INVALID_ACCESS_KEY|SIGNATURE_DOES_NOT_MATCH|INVALID_SIGNATURE"
    r"|UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION|HTTP status (?!408|429)4\d\d"
    r"|does not exist|permission",
    re.IGNORECASE,
)


def again(request: Callable[[], Value]) -> Value:
    """Make a request, a few times with growing pauses if it is lost or throttled.

    The pauses are random by half, so that many workers that were refused together do not come back
    together.

    Raises:
        OSError: it was refused for good, or failed each time.
    """
    for tried in range(1, _TRIES):
        try:
            return request()
        except OSError as error:
            if not is_passing(error):
                raise
            time.sleep(_FIRST_PAUSE_S * 2 ** (tried - 1) * random.uniform(0.5, 1.5))
    return request()


def is_passing(error: OSError) -> bool:
    """Tell whether the same request may go well a moment later."""
    if isinstance(error, _FINAL) or error.errno in _FINAL_NUMBERS:
        return False
    return not _FINAL_TEXT.search(str(error))
