"""A labelled text corpus that every Python installation carries: the docstrings of its library.

It serves as source proxy for text encoders where no download is possible. The same Python gives
the same corpus; the fingerprint tells two Pythons apart.
"""

from __future__ import annotations

import ast
import hashlib
import platform
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from xmft.backbones import Backbone, TextBackbone
from xmft.errors import DataError
from xmft.source.proxy import FEWEST_SAMPLES, PROXIES, Proxy, SourceConfig, SourceSamples

# Top-level modules and packages of each class. A name that this Python lacks is passed over, so
# the table may span versions.
_GROUPS = {
    "text": "codecs difflib encodings gettext locale pprint re reprlib sre_compile sre_constants "
    "sre_parse string stringprep textwrap _strptime tokenize token",
    "data structures": "_collections_abc _weakrefset array bisect collections copy copyreg "
    "dataclasses enum graphlib heapq operator types typing weakref functools keyword",
    "numbers and time": "_pydatetime _pydecimal calendar colorsys datetime decimal fractions "
    "numbers random secrets statistics zoneinfo hashlib hmac timeit",
    "files": "_pyio bz2 configparser csv dbm filecmp fileinput fnmatch genericpath glob gzip io "
    "json lzma netrc ntpath os pathlib pickle pickletools plistlib posixpath shelve shutil sqlite3 "
    "stat tarfile tempfile tomllib zipfile aifc sunau wave chunk",
    "concurrency": "_threading_local asyncio asyncore asynchat concurrent contextvars "
    "multiprocessing pty queue sched selectors signal subprocess threading",
    "networking": "cgi ftplib http imaplib ipaddress nntplib poplib smtpd smtplib socket "
    "socketserver ssl telnetlib urllib uuid webbrowser wsgiref xmlrpc",
    "markup and mail": "_markupbase base64 email html mailbox mailcap mimetypes quopri uu xml "
    "binhex",
    "development tools": "_pyrepl ast bdb cProfile code codeop compileall dis distutils doctest "
    "ensurepip inspect modulefinder opcode pdb profile pstats py_compile pyclbr pydoc symtable "
    "tabnanny trace traceback tracemalloc unittest venv zipapp",
    "runtime": "abc atexit contextlib gc imp importlib linecache logging pkgutil platform runpy "
    "site sysconfig warnings zipimport _sitebuiltins __future__ _compat_pickle ctypes",
    "user interface": "argparse cmd curses getopt getpass optparse rlcompleter shlex tkinter "
    "turtle",
}
_SKIPPED = {"test", "tests", "idlelib", "lib2to3", "site-packages", "__pycache__", "idle_test"}

_SHORTEST, _ENOUGH, _LONGEST = 20, 30, 60  # words of a passage
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+(?=[A-Z`'\"(*])")
_WORD = re.compile(r"[A-Za-z]{2,}")


@dataclass(frozen=True, kw_only=True)
class Passages:
    """A labelled corpus.

    Attributes:
        texts: Passages of 20 to 60 words.
        labels: Class of each passage `[n]`, an index into `classes`.
        classes: Names of the classes.
        fingerprint: SHA-256 over texts and labels.
    """

    texts: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    fingerprint: str


def stdlib_passages(limit: int = 5000, seed: int = 0) -> Passages:
    """Return passages of the standard library's docstrings, labelled by module group.

    The sources are parsed, never imported. The classes are equally large as far as there are
    passages; larger classes fill up what smaller ones leave of `limit`.

    Args:
        limit: Most passages.
        seed: Seed of the choice and of the order.

    Raises:
        ValueError: `limit` is below 1.
        DataError: the sources of the standard library are not installed.
    """
    if limit < 1:
        raise ValueError(f"The limit must be at least 1, found {limit}.")
    groups = _passages(sysconfig.get_path("stdlib"))
    rng = np.random.default_rng(seed)
    shuffled = [[group[i] for i in rng.permutation(len(group))] for group in groups]
    # Taking the first of every class, then the second ... fills the classes evenly.
    deepest = max(len(group) for group in shuffled)
    turns = (
        (group[depth], label)
        for depth in range(deepest)
        for label, group in enumerate(shuffled)
        if depth < len(group)
    )
    chosen = [pair for pair, _ in zip(turns, range(limit), strict=False)]
    chosen = [chosen[i] for i in rng.permutation(len(chosen))]
    digest = hashlib.sha256()
    for text, label in chosen:
        digest.update(f"{label}\t{text}\n".encode())
    return Passages(
        texts=tuple(text for text, _ in chosen),
        labels=np.array([label for _, label in chosen], dtype=np.int64),
        classes=tuple(_GROUPS),
        fingerprint=digest.hexdigest(),
    )


@lru_cache(maxsize=1)
def _passages(folder: str) -> tuple[tuple[str, ...], ...]:
    """Return the passages of every class, each class in the order of its files."""
    seen: set[str] = set()
    groups = []
    for names in _GROUPS.values():
        group: list[str] = []
        for path in _sources(Path(folder), names.split()):
            for passage in _pack(_sentences(path)):
                if passage not in seen:
                    seen.add(passage)
                    group.append(passage)
        groups.append(tuple(group))
    if not all(groups):
        empty = [name for name, group in zip(_GROUPS, groups, strict=True) if not group]
        raise DataError(
            f"No docstrings for {', '.join(empty)} in {folder}: this Python comes without the .py "
            "files of its standard library (a zipped or stripped build). Use a regular Python "
            "installation or choose another source proxy."
        )
    return tuple(groups)


def _sources(folder: Path, names: list[str]) -> Iterator[Path]:
    for name in names:
        module = folder / f"{name}.py"
        if module.is_file():
            yield module
        for path in sorted((folder / name).rglob("*.py")):
            if not _SKIPPED.intersection(path.relative_to(folder).parts):
                yield path


def _sentences(path: Path) -> Iterator[str]:
    """Yield the sentences of all docstrings of a file, without doctests and tables."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in other people's strings
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:  # templates and fixtures that are not meant to be parsed
            return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for paragraph in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
            if ">>>" in paragraph:
                continue
            text = " ".join(paragraph.split())
            words = text.split()
            # Signatures, tables and code hold few plain words.
            if len(_WORD.findall(text)) < 0.7 * len(words):
                continue
            yield from _SENTENCE_END.split(text)


def _pack(sentences: Iterator[str]) -> Iterator[str]:
    """Join sentences, also of neighbouring docstrings, into passages of 20 to 60 words."""
    held: list[str] = []
    for sentence in sentences:
        words = sentence.split()
        if len(held) + len(words) > _LONGEST and len(held) >= _SHORTEST:
            yield " ".join(held)
            held = []
        held += words
        while len(held) > _LONGEST:
            yield " ".join(held[:_LONGEST])
            held = held[_LONGEST:]
        if len(held) >= _ENOUGH:
            yield " ".join(held)
            held = []
    if len(held) >= _SHORTEST:
        yield " ".join(held)


def _samples(backbone: Backbone, config: SourceConfig, data_root: Path) -> SourceSamples:
    assert isinstance(backbone, TextBackbone)  # of the proxy's modality
    # A passage shorter than the window is dropped: without padding no mask is needed, and the
    # features are those of full windows only.
    passages = stdlib_passages(limit=3 * config.samples)
    windows: list[list[int]] = []
    labels: list[int] = []
    for ids, label in zip(backbone.tokenize(list(passages.texts)), passages.labels, strict=True):
        if len(ids) >= config.tokens and len(windows) < config.samples:
            windows.append(ids[: config.tokens])
            labels.append(int(label))
    if len(windows) < FEWEST_SAMPLES:
        raise DataError(
            f"stdlib-docs gave {len(windows)} passages of {config.tokens} tokens; at least "
            f"{FEWEST_SAMPLES} are needed. Lower source.tokens."
        )
    return SourceSamples(
        inputs=torch.tensor(windows),
        labels=torch.tensor(labels),
        classes=len(passages.classes),
        fingerprint=passages.fingerprint,
    )


PROXIES.add(
    "stdlib-docs",
    Proxy(
        modality="text",
        classes=len(_GROUPS),
        title="docstrings of Python's standard library by module group; needs no files",
        # The corpus is what the installed Python says: the same version, the same text.
        identity=lambda _: f"{platform.python_implementation()}-{platform.python_version()}",
        samples=_samples,
        default=True,
    ),
)
