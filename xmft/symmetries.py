"""What can be done to a sample of a task so that it is another sample of the same task, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xmft.errors import DataError, RequestError
from xmft.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Galilean:
    """Another frame of reference: what moves with it has another velocity, and has moved on.

    Attributes:
        crossing: Length of an axis over the time between inputs and targets: the velocity that
            crosses it in that time, the same for all axes.
        most: Largest velocity that is added, in the units of the fields.
        density: Input channel by which velocities are weighed for the mean one, that of all mass;
            None: all points weigh the same.
    """

    crossing: float
    most: float
    density: int | None = None


@dataclass(frozen=True, kw_only=True)
class Symmetries:
    """Maps of inputs and targets alike, under which solutions of a task's equation stay solutions.

    Attributes:
        periodic: Axes on which fields can be moved round. Networks see there, beyond an edge, what
            comes round (`Recipe.padding`).
        mirrored: Axes on which they can be reflected.
        exchanged: Whether the two axes can be exchanged; with both `mirrored`, these are all
            quarter turns and reflections of the square.
        inputs: For each input channel, the axis that it is a component along of a vector field,
            which changes its sign or its place with the axes; None: of no vector. Empty: all are
            of none.
        targets: Likewise of the targets.
        galilean: Frames of reference in which periodic fields stay solutions; None: there is but
            one. Other than the rest, they change how inputs are distributed.
        walls: Points per axis from which on a grid lies evenly between walls. Fewer are every few
            of these, counted from one side, and a reflection would not meet them again.
    """

    periodic: tuple[int, ...] = ()
    mirrored: tuple[int, ...] = ()
    exchanged: bool = False
    inputs: tuple[int | None, ...] = ()
    targets: tuple[int | None, ...] = ()
    galilean: Galilean | None = None
    walls: int = 0

    def on(self, grid: tuple[int, ...], *, galilean: bool) -> Symmetries:
        """Return those of a grid.

        Args:
            grid: Points on each axis.
            galilean: Whether other frames of reference are wanted too.
        """
        even = [axis in self.periodic or grid[axis] >= self.walls for axis in range(len(grid))]
        frames = self.galilean if galilean else None
        if frames is not None and not self.steps(grid):
            frames = None  # the smallest one is too fast
        return replace(
            self,
            mirrored=tuple(axis for axis in self.mirrored if even[axis]),
            exchanged=self.exchanged and len(set(grid)) == 1,
            galilean=frames,
        )

    def steps(self, grid: tuple[int, ...]) -> int:
        """Return by how many points a field may drift at most, by the motion of the frame."""
        frames = self.galilean
        return 0 if frames is None else int(frames.most / frames.crossing * min(grid) + 1e-9)

    def __bool__(self) -> bool:
        return bool(self.periodic or self.mirrored or self.exchanged or self.galilean)


def check_shapes(
    task: str, known: Symmetries, inputs: tuple[int, ...], targets: tuple[int, ...]
) -> None:
    """Make sure that symmetries are those of samples like these.

    Args:
        task: For messages.
        known: What is said of the task.
        inputs: Channels and grid of an input.
        targets: Likewise of a target.

    Raises:
        DataError: an axis or a channel is named that there is not.
    """
    count = len(inputs) - 1
    along = {axis for axis in (*known.inputs, *known.targets) if axis is not None}
    no_axis = {*known.periodic, *known.mirrored, *along} - set(range(count))
    density = None if known.galilean is None else known.galilean.density
    wrong = {
        f"axis {', '.join(map(str, sorted(no_axis)))} of {count}": bool(no_axis),
        "an axis twice": len({*known.periodic}) < len(known.periodic),
        "two axes that can be exchanged": known.exchanged and count != 2,
        f"{len(known.inputs)} input channels": len(known.inputs) not in (0, inputs[0]),
        f"{len(known.targets)} target channels": len(known.targets) not in (0, targets[0]),
        f"a density in channel {density}": density is not None and density not in range(inputs[0]),
    }
    for what, found in wrong.items():
        if found:
            raise DataError(
                f"{task}: its symmetries name {what}, but its inputs are {inputs} and its targets "
                f"{targets}, channels first. Mend the task's `symmetries`."
            )


def check_symmetries(task: str, known: Symmetries | None, recipe: Recipe) -> None:
    """Refuse to augment a task without symmetries, of which nobody has to have read the data.

    Raises:
        RequestError: it has none, or no other frames of reference where these are asked for.
    """
    if recipe.augment == "none" or (known and (recipe.augment != "galilean" or known.galilean)):
        return
    what = "no symmetries" if not known else "no other frames of reference"
    raise RequestError(
        f"augment={recipe.augment}: the equation of '{task}' has {what} that would make other "
        f"samples of its samples. Leave augment at {'none' if not known else 'symmetries'} for "
        "this task (per_task in a grid)."
    )
