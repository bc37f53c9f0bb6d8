"""Files as large as official ones, in their layout, for tasks whose size is what matters.

Their values are drawn at random, a part at a time. To add a task, write a function that takes an
empty folder and writes the files into it (of the right names, shapes, types and numbers of samples,
never all of them in memory), and add it to `FILES`.
"""

from __future__ import annotations

import pickle
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

_ROWS = 4096


def deepsea(folder: Path) -> None:
    """One `.npz`, not packed: 71,753, 2,490 and 149,400 stretches of 1000 bases, 861 MiB."""
    rng = np.random.default_rng(0)
    one_hot = np.eye(4, dtype=np.uint8)
    with zipfile.ZipFile(folder / "deepsea_filtered.npz", "w") as archive:
        for split, count in (("train", 71_753), ("val", 2_490), ("test", 149_400)):
            for name, shape in (("x", (1000, 4)), ("y", (36,))):
                header = {
                    "descr": "|u1",
                    "fortran_order": False,
                    "shape": (count, *shape),
                }
                with archive.open(f"{name}_{split}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array_header_1_0(stream, header)
                    for start in range(0, count, _ROWS):
                        rows = min(_ROWS, count - start)
                        if name == "x":
                            block = one_hot[rng.integers(0, 4, (rows, 1000))]
                        else:
                            block = (rng.random((rows, 36)) < 0.1).astype(np.uint8)
                        stream.write(block.tobytes())


def ecg(folder: Path) -> None:
    """A pickle of 8,528 records of 9 to 61 seconds, most of them of 30, with the real labels."""
    rng = np.random.default_rng(0)
    counts = {"N": 5076, "A": 758, "O": 2415, "~": 279}
    labels = np.repeat(np.array(list(counts), dtype=object), list(counts.values()))
    lengths = np.where(
        rng.random(len(labels)) < 0.7, 9_000, rng.integers(2_700, 18_300, len(labels))
    )
    data = np.empty(len(labels), dtype=object)
    data[:] = [rng.integers(-2_000, 2_000, length).astype(np.int16) for length in lengths]
    with (folder / "challenge2017.pkl").open("wb") as stream:
        pickle.dump({"data": data, "label": rng.permutation(labels)}, stream, protocol=4)


def psicov(folder: Path) -> None:
    """3,456 and 150 proteins of 50 to 512 residues, half of them longer than 148; 1.4 GB.

    Lengths have the mean (183) and mean square (45,000) of the released list, within 2 percent.
    """
    rng = np.random.default_rng(0)
    for part, count in (("deepcov", 3_456), ("psicov", 150)):
        lengths = np.clip(152 * np.exp(0.64 * rng.standard_normal(count)), 50, 512).astype(int)
        for kind in ("features", "distance"):
            (folder / "protein" / part / kind).mkdir(parents=True)
        names = [f"{part[0]}{number:04d}A" for number in range(count)]
        lines = (f"{name} {length}" for name, length in zip(names, lengths, strict=True))
        (folder / "protein" / f"{part}.lst").write_text("\n".join(lines), encoding="utf-8")
        for name, length in zip(names, lengths.tolist(), strict=True):
            sequence = "A" * length
            shapes = {"ss": (3, length), "pssm": (length, 22), "sa": (length,)}
            shapes |= {"entropy": (length,)}
            shapes |= dict.fromkeys(("ccmpred", "freecon", "potential"), (length, length))
            features = {key: _halves(rng, shape) for key, shape in shapes.items()}
            place = folder / "protein" / part
            packed = pickle.dumps({"seq": sequence, **features}, protocol=4)
            (place / "features" / f"{name}.pkl").write_bytes(packed)
            content = np.empty(3, dtype=object)
            content[:] = [length, sequence, 4 + 40 * _halves(rng, (length, length))]
            np.save(place / "distance" / f"{name}-cb.npy", content, allow_pickle=True)


def _halves(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.random(shape, np.float32).astype(np.float16)


def fsd50k(folder: Path) -> None:
    """An eighth of the clips of the release, 5,120 and 1,279 of some 7.6 seconds; 2.1 GB.

    They lie at 22,050 Hz, the rate at which they are stored, and are read some at a time.
    """
    rng = np.random.default_rng(0)
    truth = folder / "FSD50K.ground_truth"
    truth.mkdir()
    names = [f"Sound_{number:03d}" for number in range(200)]
    lines = [f"{number},{name},/m/{number}" for number, name in enumerate(names)]
    (truth / "vocabulary.csv").write_text("\n".join(lines), encoding="utf-8")
    for part, count in (("dev", 5_120), ("eval", 1_279)):
        (folder / f"FSD50K.{part}_audio").mkdir()
        rows = ["fname,labels,mids,split"]
        for number in range(count):
            samples = int(22_050 * np.clip(rng.exponential(7.6), 0.3, 30))
            with wave.open(str(folder / f"FSD50K.{part}_audio" / f"{number}.wav"), "wb") as file:
                file.setparams((1, 2, 22_050, samples, "NONE", ""))
                file.writeframes(rng.integers(-2_000, 2_000, samples).astype("<i2").tobytes())
            labels = ",".join(names[label] for label in rng.choice(200, 3, replace=False))
            rows.append(f'{number},"{labels}",/m/1,{"val" if number % 10 == 0 else "train"}')
        (truth / f"{part}.csv").write_text("\n".join(rows), encoding="utf-8")


FILES: dict[str, Callable[[Path], None]] = {
    "nasbench360/deepsea": deepsea,
    "nasbench360/ecg": ecg,
    "nasbench360/psicov": psicov,
    "nasbench360/fsd50k": fsd50k,
}
