"""Which pairs are far enough from every cut-off that all processors judge them alike.

This is the one rule for what is left out of the golden pairs. The libraries' fast paths differ between processors, so
a tile more or less may agree: a share moves by a hundredth.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from modules.matching import agreement, covering, relations, verdicts
from modules.matching.evidence import Evidence
from modules.matching.relations import Verdicts
from modules.matching.verdicts import Limits, verify_pair

#: Nothing golden lies so near a cut-off, of shares from 0 to 1.
LEAST_MARGIN = 0.02
TABLES = (verdicts.LIMITS, verdicts.FLAT_LIMITS, verdicts.REGISTERED_LIMITS, verdicts.SPARSE_LIMITS)
#: Shares from which on something is so, and of those what must not be exceeded.
LEAST: tuple[tuple[ModuleType, tuple[str, ...]], ...] = (
    (verdicts, ("_ALIKE", "_PERHAPS_ALIKE", "_IN_PLACE", "_SAME")),
    (agreement, ("_FLAT",)),
    (covering, ("_AGREES", "_FREE", "_TEXTURE", "_TONE")),
    (relations, ("HELD_COVER",)),
)
MOST = ((covering, ("_BLOCK",)),)


def margin(a: Evidence, b: Evidence, verdict: Verdicts) -> float:
    """LEAST_MARGIN where the ``verdict`` on a and b is the same with all cut-offs that far higher and lower, else 0."""
    for by in (-LEAST_MARGIN, LEAST_MARGIN):
        with _moved(by):
            other = verify_pair(a, b)
        if any(other[field] != verdict[field] for field in ("kind", "grade", "mirrored")):
            return 0.0
    return LEAST_MARGIN


@contextmanager
def _moved(by: float) -> Iterator[None]:
    """All cut-offs stricter by so much."""
    tables = [dict(table) for table in TABLES]
    scattered = dict(verdicts.SCATTERED)
    named = [
        (module, name, getattr(module, name), sign)
        for sign, group in ((1, LEAST), (-1, MOST))
        for module, names in group
        for name in names
    ]
    try:
        for table in TABLES:
            for grade, limits in table.items():
                table[grade] = Limits(tuple(least + by for least in limits.strengths), limits.block - by)
        for grade, (explained, found) in scattered.items():
            verdicts.SCATTERED[grade] = explained + by, found + by
        for module, name, value, sign in named:
            setattr(module, name, value + sign * by)
        yield
    finally:
        for table, before in zip(TABLES, tables, strict=True):
            table.update(before)
        verdicts.SCATTERED.update(scattered)
        for module, name, value, _ in named:
            setattr(module, name, value)
