"""Which clips there are in FSD50K, their labels and their files, from the tables of both forms."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xmft.errors import FileError
from xmft.text_files import read_text

LABELS = 200

_NUMBERED = re.compile(r"_(\d+)\.wav$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Clip:
    """One clip.

    Attributes:
        name: Its number at Freesound.
        labels: Numbers of its labels.
        files: Where its sound is, in order, below a folder that all clips share.
    """

    name: str
    labels: tuple[int, ...]
    files: tuple[str, ...]


def read_map(path: Path) -> dict[str, int]:
    """Return the number of each label from `lbl_map.json`.

    Raises:
        FileError: it does not number 200 labels.
    """
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise FileError(
            path, f"is no JSON ({error})", "an object of labels", between=" "
        ) from error
    if not isinstance(content, dict):
        raise FileError(path, f"holds a {type(content).__name__}", "an object of labels")
    return _numbered(path, content)


def read_vocabulary(path: Path) -> dict[str, int]:
    """Return the number of each label from `vocabulary.csv`: number, name, id of AudioSet.

    Raises:
        FileError: it does not number 200 labels.
    """
    content: dict[str, object] = {}
    for line, row in _rows(path):
        if len(row) < 2 or not row[0].strip().isdecimal():
            if line == 1:  # a header, which the released file does not have
                continue
            raise FileError(
                f"{path}, line {line}", f"found {','.join(row)!r}", "the number and name of a label"
            )
        if row[1] in content:
            raise FileError(f"{path}, line {line}", f"found {row[1]!r} again", "each label once")
        content[row[1]] = int(row[0])
    return _numbered(path, content)


def read_chunks(path: Path, labels: Mapping[str, int]) -> list[Clip]:
    """Return the clips of a table of chunks: `files`, `labels` and `ext`, the number of the clip.

    Args:
        path: The table; of its columns the order is no matter, and others are passed over.
        labels: Number of each label.

    Raises:
        FileError: something in it cannot be used, or it has no rows.
    """
    files: dict[str, list[str]] = {}
    known: dict[str, tuple[str, tuple[int, ...]]] = {}
    for line, (file, said, name) in _columns(path, ("files", "labels", "ext")):
        where = f"{path}, line {line}"
        if name not in known:
            known[name] = said, _labels(where, said, labels)
        elif known[name][0] != said:
            raise FileError(
                where, f"clip {name} has the labels {said!r}", f"{known[name][0]!r} as before"
            )
        files.setdefault(name, []).append(_below(where, file))
    for name, each in files.items():
        if len(set(each)) != len(each):
            raise FileError(path, f"clip {name} has a chunk twice", "each chunk once")
        each.sort(key=_order)
    return [Clip(name, known[name][1], tuple(each)) for name, each in files.items()]


def read_clips(path: Path, labels: Mapping[str, int], folder: str) -> dict[str, list[Clip]]:
    """Return the clips of `dev.csv`, by the split that it names, or of `eval.csv`, as `test`.

    Args:
        path: The table: `fname`, `labels`, and in `dev.csv` `split`, in any order.
        labels: Number of each label.
        folder: That the sounds are in.

    Raises:
        FileError: as from `read_chunks`.
    """
    splits = {"dev.csv": ("train", "val")}.get(path.name, ("test",))
    found: dict[str, list[Clip]] = {split: [] for split in splits}
    seen: set[str] = set()
    columns = ("fname", "labels", *(("split",) if len(splits) > 1 else ()))
    for line, (name, said, *named) in _columns(path, columns):
        where, split = f"{path}, line {line}", named[0] if named else splits[0]
        if split not in found:
            raise FileError(where, f"found the split {split!r}", " or ".join(splits))
        if name in seen:
            raise FileError(where, f"found clip {name} again", "each clip once")
        seen.add(name)
        file = _below(where, f"{folder}/{name}.wav")
        found[split].append(Clip(name, _labels(where, said, labels), (file,)))
    return found


def check_disjoint(places: Mapping[str, Path], parts: Mapping[str, Sequence[Clip]]) -> None:
    """Make sure that no clip is in two splits.

    Args:
        places: The table of each split.
        parts: Its clips.

    Raises:
        FileError: one is.
    """
    where: dict[str, str] = {}
    for split, clips in parts.items():
        for clip in clips:
            other = where.setdefault(clip.name, split)
            if other != split:
                raise FileError(
                    places[split],
                    f"clip {clip.name} is for {split}, and in {places[other].name} for {other}",
                    "each clip in one split",
                )


def _numbered(path: Path, content: Mapping[str, object]) -> dict[str, int]:
    numbers = list(content.values())
    whole = all(isinstance(number, int) and not isinstance(number, bool) for number in numbers)
    if not whole or sorted(numbers, key=repr) != sorted(range(LABELS), key=repr):
        raise FileError(
            path,
            f"found {len(numbers)} labels with {len(set(map(repr, numbers)))} different numbers",
            f"{LABELS} labels with the numbers 0 to {LABELS - 1}",
        )
    return {name: int(str(number)) for name, number in content.items()}


def _columns(path: Path, wanted: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the wanted cells of each row of a table with a header."""
    rows = _rows(path)
    _, header = next(rows, (1, []))
    header = [name.strip() for name in header]
    if missing := [name for name in wanted if name not in header]:
        raise FileError(
            path,
            f"there is no column {', '.join(missing)} among {', '.join(header) or 'nothing'}",
            f"the columns {', '.join(wanted)}",
        )
    places = [header.index(name) for name in wanted]
    count = 0
    for line, row in rows:
        if len(row) != len(header):
            raise FileError(
                f"{path}, line {line}", f"found {len(row)} cells", f"{len(header)} as in line 1"
            )
        count += 1
        yield line, [row[place].strip() for place in places]
    if not count:
        raise FileError(path, "found no clip", "at least one")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(read_text(path).split("\n"))
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise FileError(f"{path}, line {reader.line_num}", f"is no table ({error})") from error


def _labels(where: str, said: str, labels: Mapping[str, int]) -> tuple[int, ...]:
    names = [name.strip() for name in said.split(",") if name.strip()]
    if not names:
        raise FileError(where, "found no label", "at least one")
    if unknown := [name for name in names if name not in labels]:
        raise FileError(where, f"found the label {unknown[0]!r}", f"one of the {LABELS} that are")
    return tuple(sorted({labels[name] for name in names}))


def _below(where: str, file: str) -> str:
    """Return a path below the folder of all clips; a table begins its paths with `data`."""
    parts = file.split("/")  # by hand: there may be a million of them
    if parts[0] == "" or ".." in parts or "\\" in file:
        raise FileError(
            where,
            f"the path {file!r} may lead out of the folder",
            "a path such as data/chunks/tr/1234_0000.wav",
        )
    if not file.lower().endswith(".wav"):
        raise FileError(where, f"found the path {file!r}", "that of a wav file")
    return "/".join(parts[1:]) if parts[0] == "data" else file


def _order(file: str) -> tuple[int, str]:
    found = _NUMBERED.search(file)
    return (int(found[1]) if found else -1, file)
