"""Lists of systems in a remark: equal values are named once, and of many systems only some are named.

A factorial has dozens of systems. A sentence that names each of them is not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

NAMED = 3
"""Systems that a list names before it counts the others."""
WHOLE = 6
"""Systems up to which a list of counts names every one."""


def named(labels: Sequence[str]) -> str:
    """Return the labels as words; of more than `NAMED` + 1 the first, and how many others there are."""
    if len(labels) > NAMED + 1:
        return f"{', '.join(labels[:NAMED])} and {len(labels) - NAMED} others"
    return " and ".join([*([", ".join(labels[:-1])] if labels[:-1] else []), *labels[-1:]])


def by_value(values: Mapping[str, float], write: Callable[[float], str], joint: str = " in ") -> str:
    """Return ``0.9 in a and b; 0.5 in c``: the systems of each value as it is written, in the order of the values."""
    systems: dict[str, list[str]] = defaultdict(list)
    for label, value in values.items():
        systems[write(value)].append(label)
    return "; ".join(f"{value}{joint}{named(labels)}" for value, labels in systems.items())


def counts(counted: Mapping[str, tuple[int, int]], what: str = "answers") -> str:
    """Return ``untuned 14 of 60 answers, few-shot 3 of 60`` of systems with a count above 0; empty if none has one.

    Of more than `WHOLE` systems only those with the largest and the smallest share are named.
    """
    some = {label: (count, asked) for label, (count, asked) in counted.items() if count}
    if not some:
        return ""
    words = {label: f"{label} {count} of {asked}" for label, (count, asked) in some.items()}
    if len(some) <= WHOLE:
        first, *others = words.values()
        return ", ".join([f"{first} {what}", *others])
    by_share = sorted(some, key=lambda label: some[label][0] / some[label][1])
    of = f"all {len(counted)}" if len(some) == len(counted) else f"{len(some)} of {len(counted)}"
    return f"in {of} systems, from {words[by_share[0]]} to {words[by_share[-1]]} {what}"
