"""Mono sound in wav files of 16-bit samples, by Python's own library."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

from xmft.errors import FileError
from xmft.unreadable import check, readable

Sound = npt.NDArray[np.int16]

RATES = (4_000, 192_000)
"""Samples a second that a file may have, the least and the most."""

_MEND = "Convert it with `ffmpeg -i IN.wav -ac 1 -c:a pcm_s16le OUT.wav`, or get it anew."


def read_wav(path: Path) -> tuple[int, Sound]:
    """Return rate and samples of a file.

    Raises:
        FileError: it is missing, truncated, something else than mono 16-bit PCM, or has no samples.
    """
    check(path)
    try:
        with readable(path), path.open("rb") as stream, wave.open(stream) as file:
            shape = file.getnchannels(), file.getsampwidth()
            rate, count = file.getframerate(), file.getnframes()
            content = file.readframes(count) if shape == (1, 2) else b""
    except (wave.Error, EOFError, ZeroDivisionError) as error:
        raise FileError(
            path,
            f"is no wav file of plain PCM samples, or a damaged one ({error or 'it ends early'})",
            "mono PCM of 16 bits",
            between=" ",
            mend=_MEND,
        ) from error
    if shape != (1, 2):
        raise FileError(
            path,
            f"found {shape[0]} channel{'s' * (shape[0] != 1)} of {8 * shape[1]} bits",
            "mono PCM of 16 bits",
            mend=_MEND,
        )
    if len(content) != 2 * count:
        raise FileError(
            path, f"found {len(content) // 2} samples, truncated or damaged", f"{count} samples"
        )
    if not count:
        raise FileError(path, "there is no sound in it, found 0 samples", "at least one")
    if not RATES[0] <= rate <= RATES[1]:
        raise FileError(
            path, f"found {rate} samples a second", f"{RATES[0]} to {RATES[1]} samples a second"
        )
    return rate, np.frombuffer(content, dtype="<i2").astype(np.int16, copy=False)


def resampled(sound: Sound, rate: int, wanted: int) -> Sound:
    """Return sound at another rate, by scipy's polyphase filter, rounded to 16 bits.

    What the filter makes louder than 16 bits can hold is cut off there.
    """
    if rate == wanted:
        return sound
    from scipy.signal import resample_poly

    shared = math.gcd(rate, wanted)
    values = resample_poly(sound.astype(np.float32), wanted // shared, rate // shared)
    limits = np.iinfo(np.int16)
    return np.clip(np.rint(values), limits.min, limits.max).astype(np.int16)
