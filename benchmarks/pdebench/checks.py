"""Checks that both layouts of PDEBench's files have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
import numpy.typing as npt

from benchmarks.pdebench.layout import Layout, time_slack
from xmft.errors import FileError
from xmft.task import Origin

# What coordinates may be off by, of the domain: they are stored in float32. Of a step besides.
_ROUNDING, _SHARE_OF_STEP = 1e-6, 2e-3
# What steps may differ by from one another, of a step.
_EVEN_SHARE = 0.05


class Inspection:
    """One open file and what is expected of it."""

    def __init__(self, file: Any, path: Path, layout: Layout) -> None:
        self.file, self.path, self.layout = file, path, layout

    def wrong(self, found: str, expected: str, note: str = "") -> FileError:
        """Return the error to raise."""
        return FileError(self.path, found, expected, note)

    def dataset(self, parent: Any, name: str, place: str = "the file") -> Any:
        """Return a dataset of numbers below a group."""
        dataset = parent.get(name)
        if not isinstance(dataset, h5py.Dataset):
            held = ", ".join(f"'{key}'" for key in sorted(parent)[:10]) or "nothing"
            more = ", ..." if len(parent) > 10 else ""
            raise self.wrong(f"{place} holds {held}{more}", f"a dataset '{name}'")
        if not np.issubdtype(dataset.dtype, np.floating):
            raise self.wrong(f"'{name}' is of type {dataset.dtype}", "floating-point numbers")
        return dataset

    def rising(self, parent: Any, name: str, place: str = "the file") -> npt.NDArray[np.float64]:
        """Return coordinates or times."""
        dataset = self.dataset(parent, name, place)
        values = np.asarray(dataset[()], dtype=np.float64).reshape(-1)
        steps = np.diff(values)
        if dataset.ndim != 1 or len(values) < 2 or not np.all(steps > 0):
            falls = dataset.ndim == 1 and len(values) > 1 and np.all(steps < 0)
            raise self.wrong(
                f"'{_path(dataset)}' of shape {dataset.shape} does not rise from entry to entry",
                "a row of two or more rising coordinates",
                "It falls: turn it round, and the fields along that axis with it." if falls else "",
            )
        return values

    def axis(self, parent: Any, name: str, place: str = "the file") -> npt.NDArray[np.float64]:
        """Return the coordinates of a grid axis, which must be cell centres of the whole domain.

        Of a grid that was solved on, files keep every n-th centre from the first one on: it lies
        1 / (2 n) of a step inside, and they have as many steps as the domain.
        """
        values = self.rising(parent, name, place)
        low, high = self.layout.domain
        count, step = len(values), (high - low) / len(values)
        slack = (_SHARE_OF_STEP + _ROUNDING * count) * step
        first, last = values[0] - low, high - values[-1]
        every = max(1, round(step / (2 * first))) if first > 0 else 1
        if abs(first - step / (2 * every)) > slack or abs(first + last - step) > slack:
            own = (values[-1] - values[0]) / (count - 1)
            vertices = min(abs(first), abs(first - step), abs(last)) <= slack
            raise self.wrong(
                f"'{_path(parent[name])}' runs from {values[0]:g} to {values[-1]:g} in steps of "
                f"{own:g}",
                f"cell centres of the whole domain ({low:g}, {high:g}), not vertices",
                f"If the fields do lie at the centres, write these, {low + step / 2:g} to "
                f"{high - step / 2:g} in steps of {step:g}."
                if vertices
                else self.layout.domain_note,
            )
        self._even(parent[name], values, max(_EVEN_SHARE, 4 * _ROUNDING * count))
        return values

    def _even(self, dataset: Any, values: npt.NDArray[np.float64], slack: float) -> None:
        """Check that coordinates or times have equal steps, to within a share of a step."""
        steps = np.diff(values)
        wrong = np.flatnonzero(np.abs(steps - np.median(steps)) > slack * np.median(steps))
        if len(wrong):
            first = int(wrong[0])
            raise self.wrong(
                f"'{_path(dataset)}' goes from {values[first]:g} to {values[first + 1]:g}, where "
                f"its other steps are {np.median(steps):g}",
                "equal steps",
            )

    def native(self, centres: npt.NDArray[np.float64]) -> int:
        """Return the points of the grid that was solved on: the first one tells its spacing."""
        low, high = self.layout.domain
        return max(len(centres), round((high - low) / (2 * max(centres[0] - low, 1e-9))))

    def times(self, parent: Any, name: str, data: str, frames: int) -> npt.NDArray[np.float64]:
        """Return the times of the frames; released files have one entry more than frames."""
        times = self.rising(parent, name)
        entries, times = len(times), times[:frames]
        if entries not in (frames, frames + 1) or frames < 2:
            raise self.wrong(
                f"'{data}' has {frames} frames and '{name}' {entries} entries",
                "two or more frames, each with its time",
            )
        last, slack = self.layout.last_time, time_slack(times, self.layout.last_time)
        end, steps = last if last is not None else times[-1], np.diff(times)
        # Fewer than the whole would pass for an excerpt of finer frames.
        numbers = frames > 2 and np.all(steps == 1.0) and times[-1] < end - slack
        if abs(times[0]) > slack or times[-1] > end + slack or numbers:
            even = f" (with {frames} frames to the end, {end / (frames - 1):g} apart)"
            raise self.wrong(
                f"the frames of '{data}' run from t={times[0]:g} to t={times[-1]:g} in '{name}'",
                f"times from t=0 to at most t={end:g}, the end of these data, not numbers of "
                "steps or other units",
                f"If the fields are those of the task, write their times{even}."
                if np.all(steps == 1.0)
                else "",
            )
        self._even(parent[name], times, max(_EVEN_SHARE, 4 * _ROUNDING * frames))
        return times

    def parameters(self, held: Mapping[str, Any], holder: str, kind: str) -> None:
        """Check parameter values.

        Args:
            held: Names and values in the file. One that names no parameter at all passes.
            holder: What names them, for messages.
            kind: What they are called there.
        """
        expected = self.layout.parameters
        foreign = sorted(self.layout.foreign & held.keys())
        strangers = foreign or sorted(name for name in held if not name.startswith("xmft_"))
        if foreign or (strangers and expected and not expected.keys() & held.keys()):
            named = ", ".join(f"'{name}'" for name in strangers[:6])
            raise self.wrong(
                f"{holder} has the {kind}{'s' if len(strangers) > 1 else ''} {named}, so these "
                "are the data of another task",
                ", ".join(f"'{name}'" for name in expected) or "none of that name",
            )
        for name, value in expected.items():
            if name not in held or value is None:
                continue
            if not np.isclose(_number(held[name]), value, rtol=1e-6, atol=0):
                source = "as in the file's name" if kind == "attribute" else f"in {holder}"
                raise self.wrong(
                    f"the {kind} '{name}' is {held[name]}, so these are the data of another "
                    "equation",
                    f"{value:g} {source}",
                )

    def origin(self) -> Origin:
        """Return where the samples come from."""
        origin = self.file.attrs.get("xmft_origin", "official")
        known: tuple[Origin, ...] = get_args(Origin)
        for name in known:
            if origin in (name, name.encode()):
                return name
        raise self.wrong(f"the attribute 'xmft_origin' is '{origin}'", f"one of {', '.join(known)}")

    def tolerance(self) -> float | None:
        """Return the error that the file states of itself."""
        value = _number(self.file.attrs.get("xmft_tolerance", np.nan))
        return value if np.isfinite(value) and value >= 0 else None

    def seed(self) -> int | None:
        """Return the seed that the file says it was generated with."""
        value = _number(self.file.attrs.get("xmft_seed", np.nan))
        return int(value) if np.isfinite(value) and value >= 0 else None


def _path(dataset: Any) -> str:
    return str(dataset.name).lstrip("/")


def _number(value: Any) -> float:
    try:
        return float(np.ravel(value)[0])
    except (TypeError, ValueError, IndexError):
        return float("nan")
