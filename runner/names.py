"""Names that may become parts of paths: what somebody's ledger, grid or plug-in calls things.

A name never leads out of the folder that it is used in, on any system.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from xmft.errors import RequestError

# Devices of Windows, which no folder hides, whatever comes behind a dot.
_DEVICES = frozenset(
    [
        "con",
        "prn",
        "aux",
        "nul",
        *(f"{kind}{number}" for kind in ("com", "lpt") for number in "123456789"),
    ]
)
_LONGEST = 200  # bytes; file systems take 255, and endings are added
_PLAIN = "^[0-9a-f]{16}$"
# Columns of the ledger that become parts of paths. Names of tasks have slashes in them.
_PATHS = {
    "cell_id": False,
    "task": True,
    "suite": False,
    "method": False,
    "protocol": False,
    "data_origin": False,
}


def wrong_with(name: str, *, slashes: bool = False) -> str | None:
    """Say why a name cannot be a part of a path; None if it can.

    Args:
        name: The name.
        slashes: Whether it may have several parts, `suite/name`.
    """
    for part in name.split("/") if slashes else [name]:
        if not part.strip(" ."):
            return "has an empty part" if not part else "leads elsewhere"
        if re.search(r"[/\\\x00-\x1f\x7f-\x9f]", part):
            return "has separators or control characters in it"
        if part[1:2] == ":" and len(part) > 2 and part[2] in "/\\":
            return "begins with a drive"
        if part.partition(".")[0].partition(":")[0].strip().lower() in _DEVICES:
            return "is that of a device"
        if len(part.encode(errors="surrogateescape")) > _LONGEST:
            return f"is longer than {_LONGEST} bytes"
    return None


def check_name(name: str, what: str, *, slashes: bool = False) -> str:
    """Return a name that may be a part of a path.

    Raises:
        RequestError: it may not.
    """
    reason = wrong_with(name, slashes=slashes)
    if reason is not None:
        raise RequestError(f"{what} '{name}' {reason}: it cannot be a file's or folder's name.")
    return name


def check_names(table: pa.Table) -> None:
    """Refuse rows whose names would lead out of the results.

    Raises:
        ValueError: they would.
    """
    for column, slashes in _PATHS.items():
        if column not in table.column_names:
            continue
        names = pc.unique(table[column])
        if pc.all(pc.match_substring_regex(names, _PLAIN)).as_py():  # as all cell ids are
            continue
        for name in names.to_pylist():
            reason = None if name is None else wrong_with(name, slashes=slashes)
            if reason is not None:
                raise ValueError(f"the {column} '{name}' {reason}")
