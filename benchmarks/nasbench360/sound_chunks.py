"""Chunks of one second out of clips of sound, every half second, as FSD50K is cut in the benchmark.

A clip that is shorter than a second is repeated until it fills one. Of any other a chunk starts
every half second from 0 on, as long as that is before the end; what a chunk lacks at the end is
filled by repeating what it has. So one or two chunks of a clip have such an end, and each repeats
something else.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Sound = npt.NDArray[np.int16]

RATE = SIZE = 22_050
"""Samples a second, and in a chunk."""
STEP = SIZE // 2
"""Samples from the start of a chunk to that of the next."""


def cut(sound: Sound) -> Sound:
    """Return the chunks `[n, SIZE]` of a clip of at least one sample."""
    starts = range(0, len(sound), STEP) if len(sound) >= SIZE else (0,)
    return np.stack([filled(sound[start : start + SIZE]) for start in starts])


def filled(sound: Sound) -> Sound:
    """Return sound of at most a second, repeated until it fills one."""
    return sound if len(sound) == SIZE else np.resize(sound, SIZE)


def as_one(chunks: Sound) -> Sound:
    """Return one sound that starts as the clip does and ends as its last chunk does.

    Every second of the clip is in it, and what it has at the end is the repeated end of the clip.
    """
    return np.concatenate([*(chunk[:STEP] for chunk in chunks[:-1]), chunks[-1]])


def packed(chunks: Sound) -> tuple[Sound, list[int]]:
    """Return one array in which every chunk is found as it is, and where each begins in it.

    Of a chunk whose first half is the second half of the one before only the other half is added.
    """
    parts, starts, length = [chunks[0]], [0], SIZE
    for before, chunk in pairwise(chunks):
        joins = np.array_equal(before[STEP:], chunk[:STEP])
        part = chunk[STEP:] if joins else chunk
        parts.append(part)
        length += len(part)
        starts.append(length - SIZE)
    return np.concatenate(parts), starts
