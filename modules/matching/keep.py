"""Keep policies: which copy of a picture is kept.

A policy is one small function of one copy that gives a sort key, the smaller the better. A new one is a function here
and its name in POLICIES, or in PATTERNS if it takes a pattern behind a colon.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from modules.errors import UsageError
from modules.records import Copy

Key = int | float | str
Policy = Callable[[Copy], Key]

#: Policies in one chain at most: each is a column to sort by.
MOST = 50
_NEVER = 2**63 - 1
# What file managers, browsers and photo services add to a name that is taken: "Copy of a", "a - Copy (2)", "a copy 3",
# "a (1)", "a-001", "Kopie von a", "a - Kopie", "Copie de a", "Copia de a".
_COPY_NAME = re.compile(
    r"^(copy|kopie|copie|copia)( \(\d+\))? (of|von|de|di) |[ _.-]+(copy|kopie|copie|copia)([ _-]*\(?\d+\)?)?$"
    r"|.\(\d{1,3}\)$|.-\d{3}$",
    re.IGNORECASE,
)


def quality(copy: Copy) -> float:
    """The highest Quality Score, in the hundredths that the report shows: what is less is no difference."""
    return -round(copy.quality, 2)


def lexi(copy: Copy) -> str:
    """The first path below the source, by code points."""
    return copy.path


def smallest(copy: Copy) -> int:
    """The fewest bytes."""
    return copy.size


def largest(copy: Copy) -> int:
    """The most bytes."""
    return -copy.size


def newest(copy: Copy) -> int:
    """Changed last; a copy whose time is not known comes last."""
    return -copy.modified_ns if copy.modified_ns else _NEVER


def oldest(copy: Copy) -> int:
    """Changed first; a copy whose time is not known comes last."""
    return copy.modified_ns or _NEVER


def metadata(copy: Copy) -> int:
    """The most of time, camera and place in its EXIF data."""
    return -copy.metadata


def whole(copy: Copy) -> int:
    """None of its pixels were lost."""
    return copy.damaged


def accompanied(copy: Copy) -> int:
    """A raw file, sidecar or film of its own lies beside it: moved away alone, they would be parted."""
    return not copy.accompanied


def plain_name(copy: Copy) -> int:
    """Its name does not say that it is a copy."""
    name = copy.path.rpartition("/")[2]
    return _COPY_NAME.search(name.rpartition(".")[0] or name) is not None


def folder(pattern: str) -> Policy:
    """In a folder that fits, at any depth below it. The wildcards are those of fnmatch, capitals count.

    A pattern without a slash is held against the name of every folder that the copy lies in, one with a slash against
    their paths from the source (``*`` stands for slashes too). Raises UsageError for an empty pattern.
    """
    name = pattern.strip("/")
    if not name:
        raise UsageError("keep: folder needs a pattern: folder:PATTERN, as in folder:originals")
    fits = re.compile(fnmatch.translate(name)).fullmatch
    by_path = "/" in pattern.rstrip("/")

    def lies_in(copy: Copy) -> int:
        names = copy.path.split("/")[:-1]
        folders = ["/".join(names[: depth + 1]) for depth in range(len(names))] if by_path else names
        return 0 if any(fits(folder) for folder in folders) else 1

    return lies_in


POLICIES: dict[str, Policy] = {
    "quality": quality,
    "lexi": lexi,
    "smallest": smallest,
    "largest": largest,
    "newest": newest,
    "oldest": oldest,
}
PATTERNS: dict[str, Callable[[str], Policy]] = {"folder": folder}


@dataclass(frozen=True, slots=True)
class Keep:
    """The policies of a run, in order. names: as they were asked for."""

    names: tuple[str, ...]
    policies: tuple[Policy, ...]

    @classmethod
    def parse(cls, names: Sequence[str]) -> Self:
        """Raises UsageError, in one line, for none, too many, a repeated or unknown one, or one without its pattern."""
        if not 0 < len(names) <= MOST:
            raise UsageError(f"keep: name 1 to {MOST} policies, not {len(names)}")
        policies = tuple(_policy(name) for name in names)
        if repeated := next((name for number, name in enumerate(names) if name in names[:number]), None):
            raise UsageError(f"keep: {repeated!r} is named twice; each policy decides once")
        return cls(tuple(names), policies)

    @property
    def order(self) -> tuple[Policy, ...]:
        """All that copies are sorted by; after that goes the key.

        Whatever is asked for, none of which pixels were lost stands for a whole one.
        """
        return (whole, *self.policies, quality, metadata, accompanied, plain_name)

    @property
    def any_resolution(self) -> bool:
        """Whether something else than quality is asked for first: a coarser copy may then stand for a finer one."""
        return self.policies[0] is not quality


def _policy(text: str) -> Policy:
    name, colon, pattern = text.partition(":")
    if name in PATTERNS:
        return PATTERNS[name](pattern)
    if name in POLICIES and not colon:
        return POLICIES[name]
    if name in POLICIES:
        raise UsageError(f"keep: {name} takes no pattern, found {text!r}")
    known = ", ".join([*POLICIES, *(f"{name}:PATTERN" for name in PATTERNS)])
    raise UsageError(f"keep: unknown policy {text!r}; known are {known}")
