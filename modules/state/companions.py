"""Files that belong to a picture beside which they lie: raw files, sidecars and the films of live photos."""

from __future__ import annotations

#: Endings, in lower case, of what cameras and editors lay beside a picture under its base name.
_RAW = "3fr arw cr2 cr3 crw dcr dng erf kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
ENDINGS = frozenset((*_RAW.split(), "xmp", "aae", "mov", "mp4"))


def companion_stem(key: str) -> str | None:
    """What a companion's name shares with its picture's: all before the last dot. None for what is no companion."""
    folder, slash, name = key.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    return f"{folder}{slash}{stem}" if dot and stem and ending.lower() in ENDINGS else None


def stems_of(key: str) -> tuple[str, str]:
    """The stems of which a companion of the picture ``key`` may be: ``a.xmp`` and ``a.jpg.xmp`` belong to ``a.jpg``."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}{name.rpartition('.')[0] or name}", key
