import hashlib
from pathlib import Path

import numpy as np
import pytest

from xmft.errors import DataError
from xmft.source import stdlib_docs
from xmft.source.stdlib_docs import stdlib_passages


def test_passages_have_the_length_of_a_few_sentences() -> None:
    passages = stdlib_passages()
    words = [len(text.split()) for text in passages.texts]
    assert len(passages.texts) == len(passages.labels) > 3000
    assert min(words) >= 20 and max(words) <= 60
    assert len(set(passages.texts)) == len(passages.texts)


def test_every_class_is_well_filled_and_small_limits_are_balanced() -> None:
    passages = stdlib_passages()
    assert np.bincount(passages.labels, minlength=len(passages.classes)).min() >= 100
    counts = np.bincount(stdlib_passages(limit=200).labels, minlength=len(passages.classes))
    assert counts.sum() == 200 and counts.max() - counts.min() <= 1


def test_the_seed_decides_and_the_fingerprint_knows() -> None:
    first, again, other = (stdlib_passages(limit=300, seed=seed) for seed in (1, 1, 2))
    assert first.texts == again.texts and np.array_equal(first.labels, again.labels)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    content = "".join(f"{k}\t{t}\n" for k, t in zip(first.labels, first.texts, strict=True))
    assert first.fingerprint == hashlib.sha256(content.encode()).hexdigest()


def test_labels_follow_the_module_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdlib_docs, "_GROUPS", {"a": "alpha", "b": "beta gone"})
    monkeypatch.setattr(stdlib_docs.sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "beta" / "test").mkdir(parents=True)
    sentence = "This {} sentence has enough plain words to fill up most of one passage already. "
    for name, word in (("alpha.py", "first"), ("beta/__init__.py", "second")):
        (tmp_path / name).write_text(f'"""{sentence.format(word) * 2}\n\n>>> code()\n"""\n')
    (tmp_path / "beta" / "test" / "hidden.py").write_text(f'"""{sentence.format("third") * 2}"""')
    (tmp_path / "beta" / "broken.py").write_text("def {{ name }}:")
    passages = stdlib_passages()
    expected = {(sentence.format(w) * 2).strip(): k for k, w in enumerate(("first", "second"))}
    assert dict(zip(passages.texts, passages.labels, strict=True)) == expected


def test_a_python_without_sources_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdlib_docs.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(DataError, match=r"without the \.py files"):
        stdlib_passages()


def test_wrong_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        stdlib_passages(limit=0)
