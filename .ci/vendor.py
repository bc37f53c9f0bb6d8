"""Fetches the JavaScript that lies in this repository again, through npm, and checks its hashes.

    python .ci/vendor.py

Each `vendored.json` says what lies beside it: package, version, licence, and for each file its
place in the package and its SHA-256. To take another version, change it there, delete the hashes'
digits and run this: it names what it found.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORDS = (
    ROOT / "runner" / "report" / "site" / "vendor" / "vendored.json",
    ROOT / "tests" / "browser" / "vendor" / "vendored.json",
)


def packed(package: str, version: str) -> bytes:
    """Return the archive of a package, as npm gives it."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"{package}@{version}", "--pack-destination", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return next(Path(folder).iterdir()).read_bytes()


def main() -> None:
    """Write every file whose hash is the recorded one; end with what is not."""
    wrong = []
    for record in RECORDS:
        for one in json.loads(record.read_text(encoding="utf-8")):
            archive = io.BytesIO(packed(one["package"], one["version"]))
            with tarfile.open(fileobj=archive) as members:
                for name, file in one["files"].items():
                    member = members.extractfile(f"package/{file['from']}")
                    content = b"" if member is None else member.read()
                    found = hashlib.sha256(content).hexdigest()
                    if found == file["sha256"]:
                        (record.parent / name).write_bytes(content)
                    else:
                        wrong.append(f"{name} has the SHA-256 {found}, not {file['sha256']}")
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()
