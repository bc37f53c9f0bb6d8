"""PDEBench's group-style HDF5 files (`.h5`): one group per sample, `0000`, `0001`, and so on.

Each group holds `data` `[time, *axes, channel]`, `grid/t`, `grid/x` (and `grid/y`), and an
attribute `config`, YAML text whose part `sim` has the parameters. The order of the grid axes
differs from task to task, see `Layout.axes`. Samples are in the sorted order of the groups' names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import yaml

from benchmarks.hdf5 import check_stored
from benchmarks.pdebench.checks import Inspection
from benchmarks.pdebench.layout import (
    DATA,
    Found,
    Layout,
    Values,
    Wanted,
    number_bytes,
    time_slack,
)
from benchmarks.pdebench.values import check_written, declared_fills
from benchmarks.splits import Indices
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
        dataset = self.dataset(first, DATA, place)
        check_stored(self.path, dataset)
        shape = dataset.shape
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
            seed=self.seed(),
            samples=len(keys),
            keys=keys,
            points=points,
            native=self.native(centres[0]),
            times=self.times(first["grid"], "t", f"{keys[0]}/{DATA}", shape[0]),
        )

    def same_grid(self, key: str, found: Found) -> None:
        """Check that the coordinates and times of a sample are those of the first one."""
        points = tuple(map(len, self.centres(key)))
        if points != found.points:
            raise self.wrong(
                f"the coordinates in group '{key}' are of {' x '.join(map(str, points))} points",
                f"{' x '.join(map(str, found.points))} as in group '{found.keys[0]}'",
            )
        known = np.zeros(0) if found.times is None else found.times
        times = self.times(self.file[key]["grid"], "t", f"{key}/{DATA}", len(known))
        if not np.allclose(times, known, rtol=0, atol=time_slack(known, self.layout.last_time)):
            raise self.wrong(
                f"the times in group '{key}' run from {times[0]:g} to {times[-1]:g}",
                f"those of group '{found.keys[0]}', {known[0]:g} to {known[-1]:g}",
            )

    def centres(self, key: str) -> list[npt.NDArray[np.float64]]:
        """Return the coordinates of one sample, by axis."""
        grid = self.file[key].get("grid")
        if not isinstance(grid, h5py.Group):
            raise self.wrong(f"group '{key}' has no coordinates", "a group 'grid' in it")
        return [self.axis(grid, axis, f"group '{key}/grid'") for axis in self.layout.axes]

    def config(self, group: Any, place: str) -> Any:
        """Check the parameters of one sample; a group without `config` passes.

        Returns:
            The seed that it names; None: it names none.
        """
        text = group.attrs.get("config")
        if text is None:
            return None
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
        return held.get("seed")


class GroupReader:
    """Reads samples of an open file that was inspected."""

    def __init__(self, path: Path, layout: Layout, found: Found, file: Any) -> None:
        self.path, self.layout, self.found, self.file = path, layout, found, file
        self._inspection = GroupInspection(file, path, layout)
        first = file[found.keys[0]]
        self.fills = {DATA: declared_fills(first[DATA])}
        # With the times: which frame is learned follows from them.
        self._grid = {name: first["grid"][name][()] for name in (*layout.axes, "t")}

    def read(self, numbers: Indices, pair: tuple[Wanted, Wanted]) -> Iterator[Values]:
        """Yield inputs and targets `[n, channels, *axes]`."""
        shape = (len(numbers), *self.found.points)
        pairs = [np.empty((*shape, len(wanted.field.channels)), np.float32) for wanted in pair]
        for row, number in enumerate(numbers):
            dataset = self.sample(int(number))
            for wanted, values in zip(pair, pairs, strict=True):
                values[row] = dataset[wanted.frame][..., wanted.field.channels]
        for values in pairs:
            yield np.moveaxis(values, -1, 1)

    def bytes_read(self, wanted: Wanted) -> int:
        """Return what one sample costs to read."""
        return number_bytes((*self.found.points, self.layout.channels))

    def everything(self, size: int) -> Iterator[tuple[str, Indices, Values]]:
        """Yield all data, each sample with a check of its parameters, which reading omits."""
        seeds: dict[int, str] = {}
        twice: list[tuple[str, str, int]] = []
        for number, key in enumerate(self.found.keys):
            dataset = self.sample(number)
            seed = self._inspection.config(self.file[key], f"group '{key}'")
            if isinstance(seed, int) and seeds.setdefault(seed, key) != key:
                twice.append((seeds[seed], key, seed))
            yield DATA, np.array([number]), dataset[()][None]
        # One that most samples name is no number of a sample.
        if twice and len(seeds) > len(twice):
            first, second, seed = twice[0]
            raise FileError(
                self.path,
                f"the groups '{first}' and '{second}' both have the seed {seed} in 'config', so "
                f"they hold the same sample ({len(twice)} of {len(self.found.keys)} come again so)",
                "different samples: the same one in training and test would be a leak",
            )

    def sample(self, number: int) -> Any:
        """Return the dataset of one sample.

        Raises:
            FileError: the group has none, one of another shape than the first group's, or one
                whose values are not in this file.
        """
        key = self.found.keys[number]
        group = self.file[key]
        dataset = group.get(DATA) if isinstance(group, h5py.Group) else None
        if not isinstance(dataset, h5py.Dataset):
            held = ", ".join(f"'{name}'" for name in group) if isinstance(group, h5py.Group) else ""
            raise FileError(
                self.path, f"group '{key}' holds {held or 'nothing'}", f"a dataset '{DATA}' in it"
            )
        check_stored(self.path, dataset)
        frames = 0 if self.found.times is None else len(self.found.times)
        shape = (frames, *self.found.points, self.layout.channels)
        if dataset.shape != shape:
            raise FileError(
                self.path,
                f"'{key}/{DATA}' has the shape {dataset.shape}",
                f"{shape} as in group '{self.found.keys[0]}'",
            )
        check_written(self.path, dataset, sample=number)
        grid = group.get("grid")
        if not all(_same(grid, name, values) for name, values in self._grid.items()):
            self._inspection.same_grid(key, self.found)
        return dataset


def _same(grid: Any, name: str, values: npt.NDArray[Any]) -> bool:
    held = grid.get(name) if isinstance(grid, h5py.Group) else None
    return isinstance(held, h5py.Dataset) and np.array_equal(held[()], values)


class GroupWriter:
    """One group per sample, named by its number."""

    def __init__(
        self,
        file: h5py.File,
        coordinates: Mapping[str, npt.NDArray[Any]],
        times: npt.NDArray[np.float64],
        configuration: Mapping[str, Any],
        name: str,
    ) -> None:
        """Remember what every group repeats.

        Args:
            file: The open file.
            coordinates: Grid coordinates by axis.
            times: Times of the frames.
            configuration: The `sim` part of each group's `config`.
            name: Name of the simulation, the first line of `config`.
        """
        self._file = file
        self._grid = {
            axis: values.astype(np.float32) for axis, values in {**coordinates, "t": times}.items()
        }
        self._configuration = configuration
        self._name = name

    def write(self, arrays: Mapping[str, npt.NDArray[Any]], first: int, total: int) -> None:
        """Write samples `first`, `first` + 1, ... of `total`."""
        for i, data in enumerate(arrays[DATA]):
            number = first + i
            group = self._file.create_group(f"{number:04d}")
            group.create_dataset(DATA, data=data)
            for axis, values in self._grid.items():
                group.create_dataset(f"grid/{axis}", data=values)
            own = {name: float(arrays[name][i]) for name in arrays if name != DATA}
            sim = {**self._configuration, **own, "seed": number}
            config = {"name": self._name, "sim": sim}
            group.attrs["config"] = yaml.safe_dump(config, sort_keys=False)
