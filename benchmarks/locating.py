"""Where the samples of a task lie, and what to do where they are bad or missing."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import catalog, files
from benchmarks.candidates import Judge, choose, choose_members, form_of, generatable_form
from benchmarks.entry import Entry, Generation
from benchmarks.fetching import download_text
from benchmarks.files import default_data_root
from benchmarks.near_names import near_misses
from xmft.cache import cache_root, key
from xmft.errors import DataError, RequestError, mending
from xmft.task import Origin, Protocol, Recipe

DELETE = "Delete it; it is made again when it is needed."
ON_FIRST_USE = ", made on first use"


class MissingError(DataError):
    """There is no file at all, as opposed to one that does not do."""


@dataclass(frozen=True, kw_only=True)
class Located:
    """Where the samples of a task come from.

    Attributes:
        entry: The task.
        origin: Recorded with every result.
        files: What is read; with `ready` False, the file that will be made.
        fingerprint: Identity of the content and of how it is cut.
        ready: The files exist.
        note: One line for people.
        mend: What to do about a bad file, for people.
        generation: What is generated where no file is there; None: nothing.
        warnings: Sentences on files that are there and are not taken.
    """

    entry: Entry = field(repr=False)
    origin: Origin
    files: tuple[Path, ...]
    fingerprint: str
    ready: bool
    note: str
    mend: str = field(repr=False)
    generation: Generation | None = None
    warnings: tuple[str, ...] = ()


def locate(
    task: str | Entry,
    *,
    data_root: Path | None = None,
    recipe: Recipe | None = None,
    protocol: Protocol = "clean",
) -> Located:
    """Say where the samples of a task will come from; nothing is made.

    A file that is seen for the first time is checked and hashed, which takes its time if it is
    large; afterwards this is quick.

    Args:
        task: Name of a task or variant, or an entry.
        data_root: Where files are looked for; None: the usual place.
        recipe: Its `samples` and `resolution` decide how the data are cut; None: the default.
        protocol: One of the entry's `protocols`; decides the same.

    Raises:
        RequestError: unknown name, a protocol or a resolution that the task does not have, or the
            data root is no folder.
        MissingError: no file and no generator.
        DataError: a file that is not what its name says, or has not what the task needs.
    """
    entry = catalog.get(task) if isinstance(task, str) else task
    data_root, recipe = data_root or default_data_root(), recipe or Recipe()
    entry = form_of(entry, data_root)
    _check_protocol(entry, protocol)
    there = entry.candidates(data_root)
    if not there and entry.generatable:
        return _generated(entry, data_root, recipe, protocol)

    def judge(path: Path, facts: Mapping[str, Any]) -> None:
        entry.fit(path, facts, recipe, protocol)

    named, warnings = chosen_files(entry, there, data_root, judge, enough=recipe.samples)
    together = all_members(entry, data_root)
    # Behind what is missing, which a plan tells of as the state of a cell.
    _check_resolution(entry, recipe)
    mend = mend_text(entry, data_root, bad=True)

    def identify(paths: Sequence[Path]) -> list[files.Identity]:
        return files.identify_all(paths, entry.inspect, record=record_of(entry))

    with mending(mend):
        identities = files.identify_all(named, entry.inspect, entry.facts)
        for path, known in zip(named, identities, strict=True):
            judge(path, known.facts)
        members: dict[str, list[Path]] = {}
        sets: dict[str, list[files.Identity]] = {}
        for pattern, copies in together.items():
            members[pattern], sets[pattern], passed = choose_members(copies, identify)
            warnings += passed
    content = [known.content for known in identities]
    content += [_identity(members[pattern], sets[pattern]) for pattern in members]
    everything = [*identities, *(known for many in sets.values() for known in many)]
    origins: set[Origin] = {known.origin for known in everything}
    many = [f"{len(paths)} files like {pattern}" for pattern, paths in members.items()]
    if len(origins) > 1:
        raise DataError(
            f"The files {_list([*named, *many])} are {' and '.join(sorted(origins))}, expected one "
            "origin for all. Move those away that do not belong."
        )
    origin = origins.pop() if origins else entry.origin
    places = _list([*named, *many]) or f"made by {entry.task.name} itself"
    return Located(
        entry=entry,
        origin=origin,
        files=(*named, *(path for paths in members.values() for path in paths)),
        fingerprint=_fingerprint(entry, recipe, protocol, content),
        ready=True,
        note=f"{origin}: {places}",
        mend=mend,
        warnings=tuple(warnings),
    )


def _check_protocol(entry: Entry, protocol: Protocol) -> None:
    if protocol not in entry.protocols:
        raise RequestError(
            f"The protocol '{protocol}' is not available for task '{entry.task.name}'; use "
            f"{' or '.join(map(repr, entry.protocols))}."
        )


def _check_resolution(entry: Entry, recipe: Recipe) -> None:
    if entry.resizable or recipe.resolution in (None, entry.points):
        return
    if entry.points is None:
        has = "samples of their own size"
    else:
        has = f"{'series' if entry.axes == 1 else 'grids of axes'} of {entry.points} values"
    raise RequestError(
        f"Task '{entry.task.name}' has {has}; the recipe asks for the resolution "
        f"{recipe.resolution}. Leave `resolution` out for this task."
    )


def chosen_files(
    entry: Entry,
    there: Mapping[str, Sequence[Path]],
    data_root: Path,
    judge: Judge,
    *,
    enough: int | None = None,
) -> tuple[list[Path], list[str]]:
    """Return the files of an entry in the order in which it names them.

    Args:
        entry: The task.
        there: Its candidates.
        data_root: Where they were looked for.
        judge: See `choose`.
        enough: See `choose`.

    Returns:
        The files, and a sentence for each that is not taken.

    Raises:
        DataError: one of them was not found.
    """
    missing = [name for name in entry.files if not there.get(name)]
    if missing:
        raise _missing(
            entry, missing, data_root, [path for paths in there.values() for path in paths]
        )
    chosen = [choose(entry, there[name], judge, enough=enough) for name in entry.files]
    return [path for path, _ in chosen], [line for _, lines in chosen for line in lines]


def all_members(entry: Entry, data_root: Path) -> dict[str, list[list[Path]]]:
    """Return the files of an entry's patterns, each with its copies.

    Raises:
        DataError: there are none.
    """
    members = entry.members(data_root)
    missing = [f"files like {pattern}" for pattern, paths in members.items() if not paths]
    if missing:
        raise _missing(entry, missing, data_root, ())
    return members


def _missing(
    entry: Entry, missing: Sequence[str], data_root: Path, found: Collection[Path]
) -> MissingError:
    there = "" if data_root.exists() else " (the folder does not exist)"
    also = f", found only {_list(found)}" if found else ""
    near = "".join(f" {line}" for line in _near_misses(entry, missing, data_root))
    own = (*entry.files, *entry.patterns)
    others = [(*form.files, *form.patterns) for form in entry.alternatives]
    other = "".join(f" Instead it can be read from {_list(one)}." for one in others if one != own)
    return MissingError(
        f"Task '{entry.task.name}' needs {_list(missing)}, looked for everywhere under "
        f"{data_root}{there}{also}.{near}{other} {mend_text(entry, data_root)}"
    )


def _near_misses(entry: Entry, missing: Sequence[str], data_root: Path) -> list[str]:
    names = entry.names()
    return near_misses(data_root, {name: names[name] for name in missing if name in names})


def _generated(entry: Entry, data_root: Path, recipe: Recipe, protocol: Protocol) -> Located:
    generations = entry.generations(recipe, protocol)
    places = [
        (generation, signature, path)
        for generation in generations
        for signature in [entry.signature(generation)]
        for path in generated_places(entry, data_root, signature)
    ]
    there = next((place for place in places if place[2].is_file()), None)
    generation, signature, path = there or places[0]
    when = "" if there else ON_FIRST_USE
    why = f"there is no {entry.files[0]} under {data_root}"
    return Located(
        entry=entry,
        origin="generated",
        files=(path,),
        fingerprint=_fingerprint(entry, recipe, protocol, [f"generated:{signature}"]),
        ready=there is not None,
        note=f"generated by this project's own solver, as {why}{when}: {path}",
        mend=DELETE,
        generation=generation,
        warnings=tuple(_near_misses(entry, entry.files, data_root)),
    )


def generated_places(entry: Entry, data_root: Path, signature: str) -> list[Path]:
    """Return where a generated file of this identity may be, the better place first."""
    roots = [root.absolute() / "generated" for root in (data_root, cache_root())]
    if not files.is_writable(roots[0]):
        roots.reverse()
    return [root / signature[:12] / entry.files[0] for root in roots]


def _fingerprint(entry: Entry, recipe: Recipe, protocol: Protocol, content: Sequence[str]) -> str:
    return key(
        task=entry.task.name,
        version=entry.task_under(protocol).version,
        content=list(content),
        protocol=protocol,
        samples=recipe.samples,
        resolution=recipe.resolution,
        cut=dict(entry.cut(protocol)),
    )


def _identity(paths: Sequence[Path], known: Sequence[files.Identity]) -> str:
    """Return the one identity of many files: their names below a common folder, and contents."""
    common = os.path.commonpath([path.parent for path in paths])
    names = (path.relative_to(common).as_posix() for path in paths)
    contents = sorted(zip(names, (one.sha256 for one in known), strict=True))
    return f"set:{key(files=contents)}"


def record_of(entry: Entry) -> str:
    """Return under which name the cache remembers the many files of a task."""
    return "fingerprints-" + entry.task.name.replace("/", "-").replace(":", "-")


def mend_text(entry: Entry, data_root: Path, *, bad: bool = False) -> str:
    """Return the sentence that says how to get good files into the data root.

    Args:
        entry: The task.
        data_root: Where they go.
        bad: A bad file is in the way.
    """
    get, generate = (
        f"`xmft data {verb} {entry.task.name} --data {shlex.quote(str(data_root))}`"
        for verb in ("fetch", "generate")
    )
    start = "Move the file away, then get" if bad else "Get"
    makes = generatable_form(entry).generatable
    other = f", or make your own with {generate}" if makes else ""
    much = download_text(entry, None if bad else data_root)
    size = f" ({much})" if much else ""
    return f"{start} the official data{size} with {get}{other}."


def _list(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))
