"""Whether `make accuracy` has passed with the solvers as they are.

    python .ci/accuracy.py            exit code 0: it has; 1: it has not
    python .ci/accuracy.py --passed   write down that it has

`.ci/accuracy-passed` holds a hash of what the accuracy tests depend on, and is committed with it.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECORD = ROOT / ".ci" / "accuracy-passed"
# A folder stands for all its modules.
SOURCES = (
    "benchmarks/pdebench/solvers",
    "benchmarks/pdebench/generate.py",
    "benchmarks/pdebench/batches.py",
    "tests/accuracy",
)
# Their versions are part of the numbers.
PACKAGES = ("numpy", "scipy", "torch")


def digest(root: Path) -> str:
    """Return the SHA-256 of names and contents of the sources, and of the pinned versions."""
    found = hashlib.sha256()
    for source in SOURCES:
        path = root / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            found.update(f"{file.relative_to(root).as_posix()} {content}\n".encode())
    for line in (root / "constraints.txt").read_text().splitlines():
        if re.match(rf"({'|'.join(PACKAGES)})==", line):
            found.update(f"{line}\n".encode())
    return found.hexdigest()


if __name__ == "__main__":
    if "--passed" in sys.argv[1:]:
        RECORD.write_text(digest(ROOT) + "\n")
    elif not RECORD.is_file() or RECORD.read_text().strip() != digest(ROOT):
        sys.exit("The solvers or their accuracy tests have changed since `make accuracy` passed.")
