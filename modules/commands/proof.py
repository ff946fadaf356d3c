"""One duplicate confirmed by the test of a run, in a worker process: its witness matches it and holds it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from modules.deduplication import verify_pair
from modules.errors import PictureError
from modules.feature_extraction import Analyser
from modules.features.decode import decode
from modules.matching.confidence import SURE
from modules.matching.evidence import Evidence, evidence_of
from modules.matching.relations import Verdicts, holds, orient
from modules.matching.second_look import closest_look, look_of_thumbs, looked, needs_pictures
from modules.records import Effort, Grade, Kind, LookLevel, UInt8Array

#: Relations that pixels can prove; others rest on vectors.
_PROVABLE = {kind.name.lower(): kind for kind in (Kind.EXACT, Kind.COPY, Kind.PART, Kind.EMBEDDED)}


@dataclass(frozen=True, slots=True)
class Side:
    """What the report says of a picture, and its bytes. relation: to its witness, empty for the best one."""

    data: bytes
    width: int
    height: int
    relation: str


@dataclass(frozen=True, slots=True)
class Rules:
    """How the run decided. grade: the least that counts. any_resolution: it kept by another policy than
    quality first, so that a coarser picture may hold a finer one."""

    max_pixels: int
    effort: Effort
    grade: Grade
    any_resolution: bool


def prove(rules: Rules, best: Side, duplicates: list[Side]) -> list[str | None] | str:
    """For each duplicate why its witness ``best`` does not stand for it, None where it does.

    Just one text where the witness itself cannot be used, and why.
    """
    try:
        witness = _read(rules, best)
    except PictureError as error:
        return f"it cannot be used: {error}"
    return [_refuted(rules, best, witness, one) for one in duplicates]


@dataclass(frozen=True, slots=True)
class _Read:
    """A picture, read anew. rgb: as a closer look sees it, uint8 (h, w, 3). damaged: it lost data."""

    sha: bytes
    evidence: Evidence
    rgb: UInt8Array
    damaged: bool


def _read(rules: Rules, side: Side) -> _Read:
    """Raises PictureError for bytes that are no picture, or another one than the report says."""
    analyser = Analyser((), rules.max_pixels, rules.effort)
    analysis = analyser.analyse(side.data, facts=True, keypoints=True, extractors=frozenset())
    if analysis.facts is None or analysis.keypoints is None:
        raise AssertionError("both were asked for")
    size = (analysis.facts.width, analysis.facts.height)
    if size != (side.width, side.height):
        raise PictureError(f"it has {size[0]} x {size[1]} pixels, not {side.width} x {side.height}")
    rgb = decode(side.data, rules.max_pixels).rgb
    evidence = evidence_of(analysis.keypoints, size)
    return _Read(hashlib.sha256(side.data).digest(), evidence, rgb, analysis.facts.damaged)


def _refuted(rules: Rules, best: Side, witness: _Read, side: Side) -> str | None:
    try:
        duplicate = _read(rules, side)
    except PictureError as error:
        return f"it cannot be used: {error}"
    relation = _PROVABLE[side.relation]
    if relation == Kind.EXACT:
        return None if duplicate.sha == witness.sha else "its bytes are not those of its witness"
    # As a run does it, from the lower SHA-256 to the higher one.
    swapped = duplicate.sha > witness.sha
    a, b = (witness, duplicate) if swapped else (duplicate, witness)
    found = verify_pair(a.evidence, b.evidence)
    if rules.grade == Grade.STRICT and found["kind"] != Kind.NONE:
        found = _looked_at(a, b, found)
        sure = found["confidence"] >= SURE
    else:
        sure = found["grade"] >= rules.grade
    found = orient(found) if swapped else found
    kind = Kind(int(found["kind"]))
    if kind == Kind.NONE or not sure:
        return "its witness does not match it: their pixels do not agree"
    if relation == Kind.EMBEDDED and kind == Kind.PART:
        # That its witness lies in it whole is seen in the two of them; that the rest was added, in all copies of both.
        found["kind"] = Kind.EMBEDDED
    if not holds(found, (relation,), any_resolution=rules.any_resolution):
        shown = f"shows {float(found['cover_a']):.0%} of it and is {float(found['cover_b']):.0%} shown by it"
        return f"its witness does not hold it as {side.relation}: the two are {kind.name.lower()}, the witness {shown}"
    return None


def _looked_at(a: _Read, b: _Read, verdict: Verdicts) -> Verdicts:
    """The verdict after the looks that a run takes."""
    found = looked(verdict, look_of_thumbs(a.evidence, b.evidence, verdict), LookLevel.THUMBNAILS)
    damaged = a.damaged, b.damaged
    if needs_pictures(found, np.array(damaged)):
        found = looked(found, closest_look(a.rgb, b.rgb, found, damaged=damaged), LookLevel.PICTURES)
    return found
