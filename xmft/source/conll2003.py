"""CoNLL-2003 named entities (Tjong Kim Sang and De Meulder, 2003), a proxy of text encoders.

The English training file has one word a line in four columns (word, part of speech, chunk, entity
tag), a blank line after each sentence, and a line -DOCSTART- before each document. The original
(`eng.train`) tags in IOB1, where B- only separates neighbouring entities of one type; conversions
(`train.txt`) in IOB2, where every entity starts with B-. Both give the same 9 classes here.

The published 1-D setting has 9 source classes and sequences of 32 tokens, without saying how they
were made. Here they are windows of the backbone's tokens over the sentences of one document,
without overlap, labelled by the most frequent tag of their words other than O, and O if there is
none. The 203,621 words of the English file should make some 7000 windows of 32 tokens. Longer ones
are fewer, and all of them are used where that is fewer than `source.samples`.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from xmft.backbones import Backbone, TextBackbone
from xmft.errors import DataError, FileError, RequestError, mending
from xmft.seeding import generator
from xmft.source.official_files import VERSION_DIGITS, content_hash, folders
from xmft.source.proxy import FEWEST_SAMPLES, PROXIES, Proxy, SourceConfig, SourceSamples
from xmft.text_files import read_text
from xmft.unreadable import readable

ORIGINAL, CONVERTED = "eng.train", "train.txt"
TYPES = ("PER", "ORG", "LOC", "MISC")
TAGS = ("O", *(f"{place}-{kind}" for kind in TYPES for place in "BI"))
_LABELS = {tag: number for number, tag in enumerate(TAGS)}
_DOCUMENT = "-DOCSTART-"
_COLUMNS = 4
_MEND = "Copy the file again."


@dataclass(frozen=True, kw_only=True)
class _Word:
    """A word and its class in the IOB2 reading."""

    text: str
    label: int


def _locate(data_root: Path) -> Path:
    """Return the training file; the original where both are there.

    Raises:
        RequestError: there is none.
    """
    converted, others = None, []
    for folder, files in folders(data_root):
        if ORIGINAL in files:
            return folder / ORIGINAL
        if CONVERTED in files:
            # Many a data set has a train.txt.
            if _starts_a_document(folder / CONVERTED):
                converted = converted or folder / CONVERTED
            else:
                others.append(folder / CONVERTED)
    if converted is not None:
        return converted
    found = "found neither"
    if others:
        found = f"found {others[0]}, which does not begin with {_DOCUMENT}"
    raise RequestError(
        f"Source proxy 'conll2003' needs the English training file of CoNLL-2003 as {ORIGINAL} or "
        f"{CONVERTED} anywhere under {data_root}; {found}. Its text may not be passed on: put your "
        "own copy there, or use --set source=stdlib-docs, which needs no files."
    )


def _starts_a_document(path: Path) -> bool:
    with mending(_MEND), readable(path), path.open("rb") as stream:
        beginning = stream.read(len(codecs.BOM_UTF8) + len(_DOCUMENT))
    return beginning.removeprefix(codecs.BOM_UTF8).startswith(_DOCUMENT.encode())


@mending(_MEND)
def _identity(data_root: Path) -> str:
    return content_hash(_locate(data_root))[:VERSION_DIGITS]


def read_documents(path: Path) -> Iterator[list[_Word]]:
    """Yield the words of each document in their order.

    Raises:
        FileError: it is no text in UTF-8, or a line has not four columns, or a tag that CoNLL-2003
            does not know.
    """
    with readable(path):
        lines = read_text(path).split("\n")
    words: list[_Word] = []
    previous = "O"
    for number, line in enumerate(lines, start=1):
        columns = line.split()
        if columns and columns[0] == _DOCUMENT:
            if words:
                yield words
            words, columns = [], []
        if not columns:
            previous = "O"
            continue
        if len(columns) != _COLUMNS:
            raise FileError(
                f"{path}, line {number}",
                f"found {len(columns)} columns",
                f"{_COLUMNS} (word, part of speech, chunk, entity tag)",
            )
        tag = columns[3]
        if tag not in _LABELS:
            raise FileError(
                f"{path}, line {number}",
                f"found the entity tag '{tag}'",
                f"one of {', '.join(TAGS)}",
            )
        # An entity begins wherever the word before is not of the same type.
        place, kind = tag[:1], tag[2:]
        if place == "I" and previous[2:] != kind:
            tag = f"B-{kind}"
        words.append(_Word(text=columns[0], label=_LABELS[tag]))
        previous = tag
    if words:
        yield words


def _samples(backbone: Backbone, config: SourceConfig, data_root: Path) -> SourceSamples:
    assert isinstance(backbone, TextBackbone)  # of the proxy's modality
    path = _locate(data_root)
    with mending(_MEND):
        documents = list(read_documents(path))
    # Each word once, with the space before it that it has in a sentence.
    distinct = sorted({word.text for words in documents for word in words})
    ids = dict(zip(distinct, backbone.tokenize([f" {word}" for word in distinct]), strict=True))
    windows: list[list[int]] = []
    labels: list[int] = []
    for words in documents:
        for window, label in _windows(words, ids, config.tokens):
            windows.append(window)
            labels.append(label)
    if len(windows) < FEWEST_SAMPLES:
        raise DataError(
            f"{path} gave {len(windows)} windows of {config.tokens} tokens; at least "
            f"{FEWEST_SAMPLES} are needed. Lower source.tokens or copy the file again."
        )
    chosen = torch.from_numpy(generator("conll2003").permutation(len(windows))[: config.samples])
    return SourceSamples(
        inputs=torch.tensor(windows)[chosen],
        labels=torch.tensor(labels)[chosen],
        classes=len(TAGS),
        fingerprint=_identity(data_root),
    )


def _windows(
    words: list[_Word], ids: dict[str, list[int]], size: int
) -> Iterator[tuple[list[int], int]]:
    """Yield the windows of a document with their labels; what is left at the end is dropped.

    A word counts once, in the window of its first token.
    """
    tokens: list[int] = []
    counts = np.zeros(len(TAGS), dtype=np.int64)
    for word in words:
        own = ids[word.text]
        for place, token in enumerate(own):
            if place == 0:
                counts[word.label] += 1
            tokens.append(token)
            if len(tokens) == size:
                counts[0] = 0
                yield tokens, int(counts.argmax())
                tokens = []
                counts = np.zeros_like(counts)


PROXIES.add(
    "conll2003",
    Proxy(
        modality="text",
        classes=len(TAGS),
        title=f"CoNLL-2003 named entities (published setting), from your own {ORIGINAL} or "
        f"{CONVERTED} in the data root",
        identity=_identity,
        samples=_samples,
    ),
)
