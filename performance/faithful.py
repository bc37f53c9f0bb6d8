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

from benchmarks.nasbench360.cosmic import FILTER, GALAXIES
from benchmarks.nasbench360.cosmic_files import SKY

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


def cosmic(folder: Path) -> None:
    """5,250 arrays of 3 x 256 x 256 values in 27 visits, 4.1 GB."""
    rng = np.random.default_rng(0)
    visits = sorted(GALAXIES)
    for half, total, chosen in (("train", 4830, visits[4:]), ("test", 420, visits[:4])):
        for number in range(total):
            visit, place = number % len(chosen), number // len(chosen)
            path = folder / f"npy_{half}" / FILTER / chosen[visit]
            if not path.is_dir():
                path.mkdir(parents=True)
                np.save(path / SKY, rng.uniform(20, 60, 8))
            image = rng.standard_normal((1, 256, 256), dtype=np.float32) * 5 + 40
            masks = rng.random((2, 256, 256), dtype=np.float32) < 0.02
            planes = np.concatenate([image, masks.astype(np.float32)])
            np.save(path / f"{place % 8 + 1}_{place // 8}.npy", planes)


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
            sequence = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), length))
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
    """The release in its own layout: 51,197 clips of 0.3 to 30 seconds, 108 hours.

    At 22,050 Hz, so that nothing is resampled. Only 512 are drawn; the others are links to them.
    """
    rng = np.random.default_rng(0)
    truth = folder / "FSD50K.ground_truth"
    truth.mkdir()
    names = [f"Sound_{number:03d}" for number in range(200)]
    lines = [f"{number},{name},/m/{number}" for number, name in enumerate(names)]
    (truth / "vocabulary.csv").write_text("\n".join(lines), encoding="utf-8")
    drawn: list[Path] = []
    for part, count in (("dev", 40_966), ("eval", 10_231)):
        sounds = folder / f"FSD50K.{part}_audio"
        sounds.mkdir()
        rows = ["fname,labels,mids,split" if part == "dev" else "fname,labels,mids"]
        for number in range(count):
            path = sounds / f"{len(rows)}{part == 'eval':d}.wav"
            if len(drawn) < 512:
                seconds = float(np.clip(rng.lognormal(1.45, 1.15), 0.3, 30))
                with wave.open(str(path), "wb") as file:
                    file.setparams((1, 2, 22_050, 0, "NONE", ""))
                    noise = rng.normal(0, 3000, int(22_050 * seconds))
                    file.writeframes(noise.astype("<i2").tobytes())
                drawn.append(path)
            else:
                path.hardlink_to(drawn[rng.integers(len(drawn))])
            labels = ",".join(names[label] for label in rng.integers(0, 200, 3))
            split = f",{'val' if number < 4_170 else 'train'}" if part == "dev" else ""
            rows.append(f'{path.stem},"{labels}",""{split}')
        (truth / f"{part}.csv").write_text("\n".join(rows), encoding="utf-8")


FILES: dict[str, Callable[[Path], None]] = {
    "nasbench360/cosmic": cosmic,
    "nasbench360/deepsea": deepsea,
    "nasbench360/ecg": ecg,
    "nasbench360/psicov": psicov,
    "nasbench360/fsd50k": fsd50k,
}
