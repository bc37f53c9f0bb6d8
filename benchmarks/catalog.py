"""All tasks by name."""

from __future__ import annotations

from benchmarks.entry import Entry
from benchmarks.nasbench360 import (
    cifar100,
    cosmic,
    darcy,
    deepsea,
    ecg,
    fsd50k,
    ninapro,
    psicov,
    satellite,
    spherical,
)
from benchmarks.pdebench import entry as pdebench
from xmft.registry import Registry

TASKS: Registry[Entry] = Registry("task")


def add(entry: Entry) -> Entry:
    """Make a task known by its name.

    Raises:
        ValueError: the name is taken.
    """
    return TASKS.add(entry.task.name, entry)


def names() -> list[str]:
    """Return the names of all tasks, sorted, without variants."""
    return sorted(TASKS)


def variants(name: str) -> list[str]:
    """Return the released variants of a task, such as `pdebench/darcy:beta1.0`.

    The published parameter values are among them; `get` knows that variant by its plain name.

    Raises:
        RequestError: unknown task.
    """
    base = name.partition(":")[0]
    return [f"{base}:{label}" for label in TASKS[base].labels]


def get(name: str) -> Entry:
    """Return a task or a variant of one.

    Raises:
        RequestError: unknown task or variant; the message has the nearest right name.
    """
    base, colon, label = name.partition(":")
    return TASKS[base].variant(label) if colon else TASKS[base]


_NASBENCH360 = (
    cifar100,
    spherical,
    ninapro,
    fsd50k,
    darcy,
    psicov,
    cosmic,
    ecg,
    satellite,
    deepsea,
)

for _entry in (
    *pdebench.entries(),
    *(entry for task in _NASBENCH360 for entry in task.entries()),
):
    add(_entry)
