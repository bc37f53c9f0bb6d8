"""PDEBench's group-style HDF5 files (`.h5`): one group per sample, `0000`, `0001`, and so on.

Each group holds `data` `[time, *axes, channel]`, `grid/t`, `grid/x` (and `grid/y`), and an
attribute `config`, YAML text whose part `sim` has the parameters. The order of the grid axes
differs from task to task, see `Layout.axes`. Samples are in the sorted order of the groups' names.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import yaml

from benchmarks.pdebench.checks import Inspection
from benchmarks.pdebench.layout import DATA, Found, Layout
from xmft.errors import FileError

# Ten thousand configurations are read by `verify`.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class GroupInspection(Inspection):
    """Checks the root and the first group; opening all of them would take seconds."""

    def found(self) -> Found:
        """Return what the file holds."""
        keys = tuple(sorted(self.file))
        first = self.file[keys[0]] if keys else None
        if not isinstance(first, h5py.Group):
            held = f"a dataset '{keys[0]}'" if keys else "nothing"
            raise self.wrong(f"the file holds {held}", "one group per sample")
        place = f"group '{keys[0]}'"
        self.config(first, place)
        shape = self.dataset(first, DATA, place).shape
        centres = self.centres(keys[0])
        points = tuple(map(len, centres))
        axes = ("time", *self.layout.axes, "channel")
        if len(shape) != len(axes) or shape[1:] != (*points, self.layout.channels):
            grid_points = " x ".join(map(str, points))
            raise self.wrong(
                f"'{keys[0]}/{DATA}' has the shape {shape}",
                f"the axes ({', '.join(axes)}) on {grid_points} grid points with "
                f"{self.layout.channels} channels",
            )
        return Found(
            origin=self.origin(),
            tolerance=self.tolerance(),
            samples=len(keys),
            keys=keys,
            points=points,
            native=self.native(centres[0]),
            times=self.times(first["grid"], "t", f"{keys[0]}/{DATA}", shape[0]),
        )

    def verify(self, key: str, found: Found) -> None:
        """Check what reading a sample does not need: its parameters and coordinates."""
        self.config(self.file[key], f"group '{key}'")
        points = tuple(map(len, self.centres(key)))
        if points != found.points:
            raise self.wrong(
                f"the coordinates in group '{key}' are of {' x '.join(map(str, points))} points",
                f"{' x '.join(map(str, found.points))} as in group '{found.keys[0]}'",
            )

    def centres(self, key: str) -> list[npt.NDArray[np.float64]]:
        """Return the coordinates of one sample, by axis."""
        grid = self.file[key].get("grid")
        if not isinstance(grid, h5py.Group):
            raise self.wrong(f"group '{key}' has no coordinates", "a group 'grid' in it")
        return [self.axis(grid, axis, f"group '{key}/grid'") for axis in self.layout.axes]

    def config(self, group: Any, place: str) -> None:
        """Check the parameters of one sample; a group without `config` passes."""
        text = group.attrs.get("config")
        if text is None:
            return
        try:
            text = text.decode() if isinstance(text, bytes) else str(text)
            content = yaml.load(text, Loader=_LOADER)
            held = {str(name): value for name, value in content["sim"].items()}
        except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, AttributeError) as error:
            raise self.wrong(
                f"the attribute 'config' of {place} cannot be understood",
                "YAML text with a part 'sim'",
            ) from error
        self.parameters(held, place, "parameter")


def samples(path: Path, layout: Layout, found: Found, file: Any) -> Iterator[Any]:
    """Yield the datasets of all samples of an open file in order, each checked for its shape."""
    for number in range(found.samples):
        yield sample(path, layout, found, file, number)


def sample(path: Path, layout: Layout, found: Found, file: Any, number: int) -> Any:
    """Return the dataset of one sample of an open file.

    Raises:
        FileError: the group has none, or one of another shape than the first group's.
    """
    key = found.keys[number]
    group = file[key]
    dataset = group.get(DATA) if isinstance(group, h5py.Group) else None
    if not isinstance(dataset, h5py.Dataset):
        held = ", ".join(f"'{name}'" for name in group) if isinstance(group, h5py.Group) else ""
        raise FileError(
            path, f"group '{key}' holds {held or 'nothing'}", f"a dataset '{DATA}' in it"
        )
    frames = 0 if found.times is None else len(found.times)
    shape = (frames, *found.points, layout.channels)
    if dataset.shape != shape:
        raise FileError(
            path,
            f"'{key}/{DATA}' has the shape {dataset.shape}",
            f"{shape} as in group '{found.keys[0]}'",
        )
    return dataset
