"""Opening the files of a backbone with libraries that could do more than read them.

Nothing that lies in a folder is run and nothing is asked: a library sees links to the files that
it is to read and no others, and finds nobody at the keyboard. Callers tell it to trust no code.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from xmft.backbones import files
from xmft.errors import RequestError, XmftError


@contextmanager
def opened(name: str, folder: Path, seen: Iterable[Path]) -> Iterator[Path]:
    """Yield a folder with links to what may be read; inside, nobody answers questions.

    Errors of the libraries become one sentence that names the real folder.
    """
    before, seen = sys.stdin, list(seen)
    with files.alone(seen) as view, Path(os.devnull).open() as nobody:
        sys.stdin = nobody
        try:
            yield view
        except (EOFError, pickle.UnpicklingError) as error:
            raise _no_tensors(name, folder, seen[-1].name, error) from error
        except XmftError:
            raise
        except Exception as error:  # libraries raise anything over a file that is not as it should
            raise unreadable(name, folder, error, view) from error
        finally:
            sys.stdin = before


def _no_tensors(name: str, folder: Path, file: str, error: Exception) -> RequestError:
    # What torch says here is to load the file without its safety checks.
    wanted = re.search(r"GLOBAL (\S+)", str(error))
    if wanted:
        return RequestError(
            f"Backbone '{name}' could not be loaded from {folder}: its {file} asks for "
            f"'{wanted[1]}', which is no tensor, and nothing in it is run. Give the weights as "
            "safetensors."
        )
    return RequestError(
        f"Backbone '{name}' could not be loaded from {folder}: {file} is no file of "
        "weights; it may be empty or a pointer of git-lfs. Fetch it again."
    )


def unreadable(name: str, folder: Path, error: Exception, view: Path | None = None) -> RequestError:
    """Return the error for files that a library cannot read, with what it says of them."""
    # A wrong field of a configuration is named in the first line, and its value in the second.
    reason = " ".join(map(str.strip, str(error).strip().splitlines()[:2]))
    reason = reason.replace(str(view), str(folder)) or type(error).__name__
    if isinstance(error, AttributeError | LookupError | TypeError):
        # Says little by itself: what is missing, or what was found instead of something else.
        reason = f"a field or a file is not as it should be ({type(error).__name__}: {reason})"
    return RequestError(f"Backbone '{name}' could not be loaded from {folder}: {reason}")
