from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
import torch

from xmft.backbones import TextBackbone, load_backbone
from xmft.errors import DataError, RequestError
from xmft.source import PROXIES, SourceConfig, SourceSamples, proxy_identity
from xmft.source.conll2003 import TAGS, read_documents

SMALL = SourceConfig(samples=64, tokens=4)
START = "-DOCSTART- -X- O O\n\n"

# The first sentence of the training data's original file and one with neighbouring entities, in
# both readings.
IOB1 = "EU I-ORG|rejects O|German I-MISC|call O||Rome I-LOC|Paris B-LOC|Anna I-PER|Lee I-PER"
IOB2 = "EU B-ORG|rejects O|German B-MISC|call O||Rome B-LOC|Paris B-LOC|Anna B-PER|Lee I-PER"


def lines(text: str) -> str:
    """Columns as the official files have them."""
    words = (entry.split() for entry in text.split("|"))
    return "\n".join(f"{w[0]} NN I-NP {w[1]}" if w else "" for w in words) + "\n\n"


def document(number: int, words: int = 10) -> str:
    """A document of two sentences with names of its own."""
    tags = itertools.cycle(["O", "I-PER", "O", "I-LOC", "I-LOC"])
    entries = [f"w{number}x{i} {tag}" for i, tag in zip(range(words), tags, strict=False)]
    return START + lines("|".join(entries[:7])) + lines("|".join(entries[7:]))


@pytest.fixture(scope="module")
def backbone() -> TextBackbone:
    found = load_backbone("tiny-sequence")
    assert isinstance(found, TextBackbone)
    return found


def samples(root: Path, backbone: TextBackbone, config: SourceConfig = SMALL) -> SourceSamples:
    return PROXIES["conll2003"].samples(backbone, config, root)


@pytest.mark.parametrize("text", [IOB1, IOB2])
def test_both_readings_give_the_same_tags(text: str, tmp_path: Path) -> None:
    path = tmp_path / "eng.train"
    path.write_text(START + lines(text))
    (words,) = read_documents(path)
    assert [word.text for word in words][:3] == ["EU", "rejects", "German"]
    found = [TAGS[word.label] for word in words]
    assert found == [entry.split()[1] for entry in IOB2.split("|") if entry]


def test_an_entity_ends_with_its_sentence(tmp_path: Path) -> None:
    path = tmp_path / "eng.train"
    path.write_text(lines("Anna I-PER||Lee I-PER|Smith I-PER|Rome I-LOC"))
    (words,) = read_documents(path)
    assert [TAGS[word.label] for word in words] == ["B-PER", "B-PER", "I-PER", "B-LOC"]


def test_nine_classes() -> None:
    assert TAGS[0] == "O" and len(set(TAGS)) == 9 == PROXIES["conll2003"].classes


def test_windows_stay_within_a_document(tmp_path: Path, backbone: TextBackbone) -> None:
    texts = [document(n, words=10 + n % 3) for n in range(20)]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "eng.train").write_text("".join(texts))
    found = samples(tmp_path, backbone)
    # The toy's tokens are words: two windows of 4 from 10 or 11 words, three from 12.
    assert found.inputs.shape == (sum((10 + n % 3) // 4 for n in range(20)), 4)
    assert (found.inputs.dtype, found.labels.dtype) == (torch.int64, torch.int64)
    expected = {
        tuple(backbone.tokenize([" ".join(f"w{n}x{4 * k + i}" for i in range(4))])[0])
        for n in range(20)
        for k in range((10 + n % 3) // 4)
    }
    assert {tuple(row) for row in found.inputs.tolist()} == expected


def test_the_most_frequent_tag_but_o_is_the_label(tmp_path: Path, backbone: TextBackbone) -> None:
    cases = {
        "O O O O": "O",
        "O O O I-PER": "B-PER",
        "B-ORG I-ORG I-ORG O": "I-ORG",
        "B-LOC O B-LOC B-PER": "B-LOC",
    }
    text = ""
    for number, (case, _) in enumerate(itertools.product(cases, range(4))):
        tags = case.split()
        text += START + lines("|".join(f"w{number}x{i} {tag}" for i, tag in enumerate(tags)))
    (tmp_path / "train.txt").write_text(text)
    found = samples(tmp_path, backbone)
    assert Counter(TAGS[label] for label in found.labels) == dict.fromkeys(cases.values(), 4)


def test_words_of_several_tokens_count_once(tmp_path: Path) -> None:
    """A tokenizer that makes as many tokens of a word as it has letters."""

    class Letters:
        def tokenize(self, texts: list[str]) -> list[list[int]]:
            assert all(text.startswith(" ") for text in texts)
            return [[ord(letter) for letter in text.strip()] for text in texts]

    # Eight letters a window: the long name is one word of PER, the two short ones are two of LOC.
    sentence = lines("abcde I-PER|f I-LOC|g B-LOC|h O")
    (tmp_path / "eng.train").write_text(16 * (START + sentence))
    backbone = load_backbone("tiny-sequence")
    object.__setattr__(backbone, "tokenize", Letters().tokenize)
    assert isinstance(backbone, TextBackbone)
    found = samples(tmp_path, backbone, SourceConfig(samples=16, tokens=8))
    assert found.inputs.tolist() == 16 * [[ord(letter) for letter in "abcdefgh"]]
    assert found.labels.tolist() == 16 * [TAGS.index("B-LOC")]


def test_the_subset_is_fixed_and_grows(tmp_path: Path, backbone: TextBackbone) -> None:
    (tmp_path / "train.txt").write_text("".join(document(n) for n in range(30)))
    first = samples(tmp_path, backbone, SourceConfig(samples=20, tokens=4))
    torch.manual_seed(1)
    more = samples(tmp_path, backbone, SourceConfig(samples=40, tokens=4))
    assert torch.equal(more.inputs[:20], first.inputs)
    assert len(samples(tmp_path, backbone, SourceConfig(samples=5000, tokens=4))) == 60
    # Not the beginning of the file.
    beginning = backbone.tokenize([" ".join(f"w{n}x{i}" for i in range(4)) for n in range(10)])
    assert any(row not in first.inputs.tolist() for row in beginning)


def test_the_version_is_the_content(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text(document(0))
    first = proxy_identity("conll2003", tmp_path)
    assert first.startswith("conll2003@") and len(first) == len("conll2003@") + 12
    path.write_text(document(0) + document(1))
    assert proxy_identity("conll2003", tmp_path) != first
    # The original is preferred.
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "eng.train").write_text(document(0))
    assert proxy_identity("conll2003", tmp_path) == first


def test_a_byte_order_mark_is_no_word(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(document(0), encoding="utf-8")
    plain = list(read_documents(tmp_path / "train.txt"))
    (tmp_path / "train.txt").write_text(document(0), encoding="utf-8-sig")
    assert proxy_identity("conll2003", tmp_path)
    assert list(read_documents(tmp_path / "train.txt")) == plain


def test_a_train_txt_of_something_else_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train.txt").write_text("image1.png 3\n")
    with pytest.raises(RequestError) as caught:
        proxy_identity("conll2003", tmp_path)
    message = str(caught.value)
    for part in ("eng.train", "train.txt", f"found {tmp_path / 'a' / 'train.txt'}", "own copy"):
        assert part in message
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "train.txt").write_text(document(0))
    assert proxy_identity("conll2003", tmp_path)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("Rome NNP I-LOC", "found 3 columns, expected 4"),
        ("Rome NNP I-NP I-LOC extra", "found 5 columns"),
        ("Rome NNP I-NP I-GPE", "found the entity tag 'I-GPE'"),
    ],
)
def test_wrong_lines_are_named(
    line: str, wanted: str, tmp_path: Path, backbone: TextBackbone
) -> None:
    path = tmp_path / "eng.train"
    path.write_text(START + lines("EU I-ORG|call O") + line + "\n")
    with pytest.raises(DataError, match=rf"eng\.train, line 6: {wanted}"):
        samples(tmp_path, backbone)
    path.write_bytes(START.encode() + b"\xff\xfe NN O O\n")
    with pytest.raises(DataError, match=r"eng\.train is no UTF-8 text"):
        samples(tmp_path, backbone)


def test_too_short_documents(tmp_path: Path, backbone: TextBackbone) -> None:
    (tmp_path / "eng.train").write_text("".join(document(n) for n in range(30)))
    with pytest.raises(DataError, match=r"eng\.train gave 0 windows of 11 tokens"):
        samples(tmp_path, backbone, SourceConfig(samples=64, tokens=11))
