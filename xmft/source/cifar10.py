"""CIFAR-10 (Krizhevsky, 2009) from its official files, the proxy of vision encoders.

50,000 images of 32 x 32 pixels in 10 classes, five Python pickles with `data`, uint8 `[n, 3072]`
(all red, then all green, then all blue, row by row), and `labels`, integers 0 to 9. They are read
from the extracted folder or from the archive as it is downloaded; the test images are not used.
"""

from __future__ import annotations

import functools
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from xmft.backbones import Backbone
from xmft.cifar_pickles import read_cifar
from xmft.errors import FileError, RequestError, mending
from xmft.seeding import generator
from xmft.source.official_files import VERSION_DIGITS, content_hash, folders
from xmft.source.proxy import PROXIES, Proxy, SourceConfig, SourceSamples
from xmft.unreadable import check, readable, refusal

FOLDER, ARCHIVE = "cifar-10-batches-py", "cifar-10-python.tar.gz"
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
CLASSES = 10
_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
_MEND = f"Fetch {_URL} again."


def _locate(data_root: Path) -> Path:
    """Return the extracted folder, or else the archive.

    Raises:
        RequestError: neither is there, or the folder is not complete.
    """
    incomplete = archive = None
    for folder, files in folders(data_root):
        if folder.name == FOLDER:
            if files.issuperset(BATCHES):
                return folder
            incomplete = incomplete or folder
        if ARCHIVE in files:
            archive = archive or folder / ARCHIVE
    if archive is not None:
        return archive
    found = "found neither"
    if incomplete is not None:
        missing = [name for name in BATCHES if not (incomplete / name).is_file()]
        found = f"found {incomplete} without {', '.join(missing)}"
    raise RequestError(
        f"Source proxy 'cifar10' needs the folder {FOLDER} (with {BATCHES[0]} to {BATCHES[-1]}) or "
        f"the file {ARCHIVE} anywhere under {data_root}; {found}. Fetch {_URL} into that folder, "
        "or use --set source=procedural-images, which needs no files."
    )


def _contents(found: Path) -> Iterator[tuple[str, str, bytes]]:
    """Yield batch, name for messages and content of the five files, in any order.

    Raises:
        FileError: the archive is damaged or lacks one of them.
    """
    if found.is_dir():
        for batch in BATCHES:
            with readable(found / batch):
                content = (found / batch).read_bytes()
            yield batch, str(found / batch), content
        return
    check(found)
    missing = set(BATCHES)
    try:
        with tarfile.open(found, "r|gz") as archive:
            for member in archive:
                batch = member.name.rpartition("/")[2]
                stream = archive.extractfile(member) if batch in missing else None
                if stream is not None:
                    missing.remove(batch)
                    yield batch, f"{found}:{member.name}", stream.read()
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise refusal(found, error) or FileError(
            found,
            f"cannot be read ({error}); found {found.stat().st_size} bytes",
            "the archive of CIFAR-10",
            between=" ",
        ) from error
    if missing:
        raise FileError(found, f"holds no {', '.join(sorted(missing))}", between=" ")


@mending(_MEND)
def _identity(data_root: Path) -> str:
    """Hash the five files; the same for the folder and for the archive."""
    found = _locate(data_root)
    if found.is_dir():
        hashes = {batch: content_hash(found / batch) for batch in BATCHES}
    else:
        status = found.stat()
        hashes = _member_hashes(found, status.st_size, status.st_mtime_ns)
    text = "".join(hashes[batch] for batch in BATCHES)
    return hashlib.sha256(text.encode()).hexdigest()[:VERSION_DIGITS]


@functools.lru_cache(maxsize=4)
def _member_hashes(archive: Path, size: int, changed: int) -> dict[str, str]:
    return {batch: hashlib.sha256(content).hexdigest() for batch, _, content in _contents(archive)}


@mending(_MEND)
def _samples(backbone: Backbone, config: SourceConfig, data_root: Path) -> SourceSamples:
    batches = {
        batch: read_cifar(
            io.BytesIO(content), name=name, size=len(content), labels="labels", classes=CLASSES
        )
        for batch, name, content in _contents(_locate(data_root))
    }
    images = np.concatenate([batches[batch].images for batch in BATCHES])
    labels = np.concatenate([batches[batch].labels for batch in BATCHES])
    chosen = generator("cifar10").permutation(len(images))[: config.samples]
    return SourceSamples(
        inputs=torch.from_numpy(images[chosen]),
        labels=torch.from_numpy(labels[chosen]),
        classes=CLASSES,
        fingerprint=_identity(data_root),
    )


PROXIES.add(
    "cifar10",
    Proxy(
        modality="vision",
        classes=CLASSES,
        title=f"CIFAR-10 images (published setting), from {FOLDER} or {ARCHIVE} in the data root",
        identity=_identity,
        samples=_samples,
    ),
)
