"""Lists of clips of sound and of their labels, as FSD50K and the benchmark write them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from xmft.errors import FileError
from xmft.text_files import read_text


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip of a list.

    Attributes:
        name: Of the clip.
        labels: Names of what is to be heard.
        paths: Its files: one, or its chunks in order.
        split: Which split the list says it is for; empty where the list is of one.
        listed: The list.
    """

    name: str
    labels: tuple[str, ...]
    paths: tuple[Path, ...]
    split: str
    listed: Path


def label_numbers(path: Path, count: int) -> dict[str, int]:
    """Return the number of each label from a JSON file.

    Raises:
        FileError: it holds something else than as many labels, numbered from 0 on.
    """
    try:
        found = json.loads(read_text(path))
    except ValueError as error:
        raise FileError(path, f"is no JSON ({error})", between=" ") from error
    numbers = sorted(found.values(), key=str) if isinstance(found, dict) else []
    if sorted(map(str, range(count))) != sorted(map(str, numbers)):
        raise FileError(
            path,
            f"holds {len(numbers)} labels",
            f"{count} labels, each with a number from 0 to {count - 1}",
            between=" ",
        )
    return {str(name): int(number) for name, number in found.items()}


def vocabulary(path: Path, count: int) -> dict[str, int]:
    """Return the number of each label from `vocabulary.csv`: index, name, id.

    Raises:
        FileError: it holds something else than as many labels, numbered from 0 on.
    """
    rows = list(csv.reader(read_text(path).splitlines()))
    found = {row[1]: row[0] for row in rows if len(row) == 3}
    if len(found) != len(rows) or sorted(found.values()) != sorted(map(str, range(count))):
        raise FileError(
            path,
            f"holds {len(found)} labels in {len(rows)} lines",
            f"{count} lines of number, label and id",
            between=" ",
        )
    return {name: int(number) for name, number in found.items()}


def chunk_clips(path: Path, labels: Mapping[str, int] | None) -> list[Clip]:
    """Return the clips of a list of chunks: `files`, `labels` and `ext`, the clip.

    Args:
        path: The list, in the folder `chunks` of the folder that its entries call `data`.
        labels: Known labels; None: they are not looked at.

    Raises:
        FileError: a column is missing, a label unknown, or a path leads elsewhere.
    """
    root = path.parent.parent
    found: dict[str, list[tuple[Path, tuple[str, ...]]]] = {}
    for line, row in _rows(path, ("files", "labels", "ext")):
        place = PurePosixPath(row["files"])
        below = place.parts[1:] if place.parts[:1] == ("data",) else place.parts
        if not below or place.is_absolute() or ".." in below:
            raise FileError(
                f"{path}, line {line}", f"names {row['files']!r}", "a path that begins with data/"
            )
        named = _labels(path, line, row["labels"], labels)
        found.setdefault(row["ext"], []).append((root.joinpath(*below), named))
    clips = []
    for name, chunks in found.items():
        several = {named for _, named in chunks}
        if len(several) > 1:
            raise FileError(path, f"the chunks of {name} have different labels", "the same for all")
        places = tuple(sorted(place for place, _ in chunks))
        clips.append(Clip(name=name, labels=several.pop(), paths=places, split="", listed=path))
    return clips


def raw_clips(path: Path, labels: Mapping[str, int] | None) -> list[Clip]:
    """Return the clips of `dev.csv` or `eval.csv` of the release.

    Args:
        path: The list, whose folder lies beside those of the sounds.
        labels: Known labels; None: they are not looked at.

    Raises:
        FileError: a column is missing, or a label or split is unknown.
    """
    development = path.stem == "dev"
    folder = path.parent.with_name(f"FSD50K.{path.stem}_audio")
    columns = ("fname", "labels", "split") if development else ("fname", "labels")
    clips = []
    for line, row in _rows(path, columns):
        name, split = row["fname"], row.get("split", "") if development else ""
        if development and split not in ("train", "val"):
            raise FileError(f"{path}, line {line}", f"names the split {split!r}", "train or val")
        if PurePosixPath(name).name != name:
            raise FileError(f"{path}, line {line}", f"names the clip {name!r}", "a plain name")
        named = _labels(path, line, row["labels"], labels)
        place = folder / f"{name}.wav"
        clips.append(Clip(name=name, labels=named, paths=(place,), split=split, listed=path))
    return clips


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(read_text(path).splitlines())
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise FileError(
            path,
            f"has the columns {', '.join(reader.fieldnames or ()) or 'of no name'}",
            f"{', '.join(columns)} among them",
        )
    for row in reader:
        if any(row[name] is None for name in columns):
            raise FileError(f"{path}, line {reader.line_num}", "is cut off", "all columns")
        yield reader.line_num, row


def _labels(path: Path, line: int, text: str, known: Mapping[str, int] | None) -> tuple[str, ...]:
    named = tuple(name.strip() for name in text.split(",") if name.strip())
    strange = [name for name in named if known is not None and name not in known]
    if strange or not named:
        raise FileError(
            f"{path}, line {line}",
            f"names the label {strange[0]!r}" if strange else "names no label",
            "one of the vocabulary",
        )
    return named
