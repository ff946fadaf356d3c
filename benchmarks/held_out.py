"""The families that no number may be fitted to or chosen by, as ``held_out.toml`` beside this file names them."""

from __future__ import annotations

import tomllib
from pathlib import Path

FILE = Path(__file__).with_name("held_out.toml")


def held_out(kind: str) -> frozenset[str]:
    """Names of the held-out families of a kind: ``edits`` or ``lookalikes``. Raises KeyError for another kind."""
    return frozenset(tomllib.loads(FILE.read_text(encoding="utf-8"))[kind])
