"""What verdicts hang on beside the pictures: the matcher's version, and every number that it was given."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modules.features import base, borders
from modules.matching import (
    agreement,
    board,
    composition,
    confidence,
    contents,
    covering,
    differences,
    evidence,
    flow,
    geometry,
    light,
    likeness,
    look,
    margins,
    patches,
    pieces,
    plain,
    rearranged,
    regions,
    registration,
    relations,
    second_look,
    verdicts,
)
from modules.matching.verdicts import VERSION

#: Every module whose numbers decide a verdict. Keypoints and thumbnails have versions of their own.
DECIDING: tuple[ModuleType, ...] = (
    agreement,
    board,
    borders,
    composition,
    confidence,
    contents,
    covering,
    differences,
    evidence,
    flow,
    geometry,
    light,
    likeness,
    look,
    margins,
    patches,
    pieces,
    plain,
    rearranged,
    regions,
    registration,
    relations,
    second_look,
    verdicts,
)
#: Bytes of the packaged files that verdicts are weighed by, by name: the numbers of a trained model belong here.
WEIGHTS: Mapping[str, bytes] = {confidence.FILE.name: confidence.FILE.read_bytes()}
#: Decimals of a computed number that count: the last bits of a cosine differ between processors.
_DECIMALS = 9


def digest(modules: Iterable[ModuleType], weights: Mapping[str, bytes] = WEIGHTS) -> str:
    """SHA-256 (hex) over the names and values of all numbers at the top of ``modules``, and over ``weights``.

    Counted are int, float, bool, slices and numpy arrays, and tuples, lists, mappings, enums and dataclasses of these,
    under any name that the module holds them by. Not counted are strings, types, functions and modules, and float32
    arrays: code makes those of the other numbers, with last digits that differ between processors. A name whose value
    has nothing that counts is left out. Equal on every machine that runs the same source.
    """
    hashed = hashlib.sha256()
    for module in sorted(modules, key=lambda one: one.__name__):
        for name in sorted(vars(module)):
            text = "" if name.startswith("__") else _text(getattr(module, name))
            if text:
                hashed.update(f"{module.__name__}.{name}={text}\n".encode())
    for name in sorted(weights):
        hashed.update(f"{name}={hashlib.sha256(weights[name]).hexdigest()}\n".encode())
    return hashed.hexdigest()


def _text(value: object) -> str:
    """The numbers of a value, exactly but for computed ones; empty where it has none."""
    if isinstance(value, bool | int | float):
        return str(int(value)) if isinstance(value, enum.IntEnum) else repr(value)
    if isinstance(value, np.ndarray | np.number):
        return _array_text(np.asarray(value))
    named = [f"{name}:{text}" for name, text in ((name, _text(part)) for name, part in _parts(value)) if text]
    return f"({','.join(named)})" if named else ""


def _parts(value: object) -> list[tuple[object, object]]:
    """What a value is made of, each with its name or place; nothing where it is made of nothing that counts."""
    if isinstance(value, slice):
        return [("start", value.start), ("stop", value.stop), ("step", value.step)]
    if isinstance(value, Mapping):
        return sorted(value.items(), key=lambda item: str(item[0]))
    if isinstance(value, tuple | list):
        return list(enumerate(value))
    if is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in fields(value)]
    return []


def _array_text(array: NDArray[Any]) -> str:
    if array.dtype == np.float32 or array.dtype.kind not in "biuf":
        return ""
    # Adding 0 makes one of 0 and -0.
    same = np.round(array.astype("<f8"), _DECIMALS) + 0.0 if array.dtype.kind == "f" else array.astype("<i8")
    return f"{array.shape}{hashlib.sha256(same.tobytes()).hexdigest()}"


MATCHER_FINGERPRINT = base.fingerprint("matcher", VERSION, digest(DECIDING))
