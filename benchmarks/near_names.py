"""Files that look like the wanted one under another name, told before anything else is used.

Browsers, file managers, copies that were cut off, archives and tools for large files change names
in ways that are known. None of these files is taken: what it holds is for its owner to say.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from benchmarks.files import folders, looked

_UNFINISHED = (
    *(".part", ".partial", ".filepart", ".download", ".crdownload", ".opdownload", ".aria2"),
    *(".tmp", ".temp", ".incomplete", ".!ut", ".!qb", ".st"),
)
_PACKED = (
    *(".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tar", ".gz", ".zip", ".bz2", ".xz", ".zst"),
    *(".lz4", ".7z", ".rar"),
)
_POINTERS = {".dvc": "dvc pull", ".torrent": "", ".url": "", ".webloc": "", ".lnk": ""}
_ADDED = (".bak", ".old", ".orig", ".backup", ".copy", ".txt", ".bin", ".data", "~")
_HDF5 = (".h5", ".hdf5", ".hdf", ".he5")
# " (1)", " 2", "-1", ".1", " - Copy (2)", "_copy", " (Kopie)": behind the stem or the whole name.
_COPY = re.compile(
    r"(?:\s*\(\d+\)|[\s.-]\d{1,2}|[\s_-]*\(?\b(?:copy|copie|kopie|copia)\b\s*\d*\)?)$", re.I
)
_COPY_UNDERSCORE = re.compile(r"_(?:copy|copie|kopie|copia)\d*$", re.I)
_COPY_OF = re.compile(r"^(?:copy[ _-]of|kopie[ _-]von)[ _-]+", re.I)
# As rsync calls what it is still copying.
_RSYNC = re.compile(r"^\.(?P<name>.+)\.[A-Za-z0-9]{6}$")
_STEPS = 4
_PREFIX = 6


def near_misses(data_root: Path, wanted: Mapping[str, re.Pattern[str]]) -> list[str]:
    """Return a sentence for each thing that looks like a wanted file and is not taken.

    Args:
        data_root: Where to look, as files are looked for.
        wanted: Official names that were not found, each with the pattern of what would do.
    """
    patterns = {
        name: (re.compile(pattern.pattern, re.IGNORECASE), _squashed(name)[:_PREFIX])
        for name, pattern in wanted.items()
    }
    lines = []
    for folder, _ in folders(data_root):
        try:
            there = looked(("names", folder), partial(_listed, folder))
        except FileNotFoundError:
            continue
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            lines.append(f"{folder} cannot be looked into ({reason}); what lies there is not used.")
            continue
        for other, squashed in there:
            for name, (pattern, prefix) in patterns.items():
                if prefix in squashed:
                    lines += _told(folder, other, name, pattern)
    return lines


def _listed(folder: Path) -> list[tuple[str, str]]:
    """Return the names of all that lies in a folder, sorted, each as it is and squashed."""
    with os.scandir(folder) as entries:
        return sorted((entry.name, _squashed(entry.name)) for entry in entries)


def _told(folder: Path, other: str, name: str, pattern: re.Pattern[str]) -> Iterator[str]:
    path = folder / other
    for form, how in _forms(other).items():
        if pattern.fullmatch(form):
            target = name if form.lower() == name.lower() else form
            yield _sentence(path, folder / target, how)
            return


def _sentence(path: Path, target: Path, how: str) -> str:
    if path.is_symlink() and not path.exists():
        to = os.readlink(path)  # noqa: PTH115 (as it is written, not made absolute)
        get = f"cd {shlex.quote(str(path.parent))} && git annex get {shlex.quote(path.name)}"
        mend = f"Get it with `{get}`." if "annex/objects" in to else "Mount or copy what is there."
        return f"{path} is a link to {to}, where there is nothing. {mend}"
    if path.is_dir():
        return f"{path} is a folder, not the file. Put the file itself there."
    if not path.is_file():
        return f"{path} is no file that could be read."
    if how == "unfinished":
        return (
            f"{path} is a download or copy that has not ended. Let the program that made it go on, "
            f"which gives {target.name}; if there is none any more, get the file again."
        )
    if how == "packed":
        return f"{path} is packed. Unpack it, which gives {target.name}."
    if how in _POINTERS:
        command = _POINTERS[how]
        get = f"`cd {shlex.quote(str(path.parent))} && {command}`" if command else "what it names"
        return f"{path} only stands for the file. Get the file with {get}."
    old, new = (shlex.quote(str(place)) for place in (path, target))
    return f"{path} is not taken under that name. If it is that file: `mv {old} {new}`."


def _forms(name: str) -> dict[str, str]:
    """Return names that this one may have been made from, each with what was done to it.

    That is `unfinished`, `packed`, a suffix of `_POINTERS`, or nothing but another name.
    """
    forms = {name: ""}
    fresh = [name]
    for _ in range(_STEPS):
        found: dict[str, str] = {}
        for form in fresh:
            for earlier, how in _earlier(form):
                found.setdefault(earlier, how or forms[form])
        fresh = [form for form in found if form not in forms]
        forms |= {form: found[form] for form in fresh}
    return forms


def _earlier(name: str) -> Iterator[tuple[str, str]]:
    """Yield names that are one change away, with the change where it is more than a name."""
    lower = name.lower()
    for endings, how in ((_UNFINISHED, "unfinished"), (_PACKED, "packed"), (_ADDED, "")):
        for ending in endings:
            if lower.endswith(ending):
                yield name[: -len(ending)], how
    for ending in _POINTERS:
        if lower.endswith(ending):
            yield name[: -len(ending)], ending
    if match := _RSYNC.match(name):
        yield match["name"], "unfinished"
    if "?" in name:
        yield name.partition("?")[0], ""
    for other in (unquote(name), name.replace(" ", "_"), name.strip(), _COPY_OF.sub("", name)):
        if other != name:
            yield other, ""
    stem, point, suffix = name.rpartition(".")
    for pattern in (_COPY, _COPY_UNDERSCORE):
        if pattern.search(stem):
            yield pattern.sub("", stem) + point + suffix, ""
        if pattern.search(name):
            yield pattern.sub("", name), ""
    if f".{suffix.lower()}" in _HDF5:
        for ending in _HDF5[:2]:
            yield stem + ending, ""


def _squashed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", unquote(name).lower())
