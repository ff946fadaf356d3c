"""The verdict on a pair: how one picture lies on the other, whether the pixels agree, and what the two are then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from modules.matching import agreement, contents, covering, geometry, plain, relations
from modules.matching.agreement import Agreement
from modules.matching.differences import note
from modules.matching.evidence import Evidence, frame, with_board
from modules.matching.geometry import MIN_INLIERS, Alignment, Matched, Matrix
from modules.matching.likeness import likeness
from modules.matching.patches import Displacements, displaced
from modules.matching.pieces import scattered
from modules.matching.registration import register
from modules.matching.relations import Verdicts
from modules.records import VERDICT_DTYPE, Grade, Kind, Method

#: Raised by hand when the same two pictures would get another verdict; numbers count for themselves (fingerprint.py).
VERSION = 12


@dataclass(frozen=True, slots=True)
class Limits:
    """What a pair must show to count.

    strengths: least strength of the agreement, by how many places support the alignment (see SUPPORT): pages in one
    layout agree by chance in much, but never in many places. block: largest connected
    region that may differ, as a share of the tiles: a caption may, another picture in a frame not.
    """

    strengths: tuple[float, ...]
    block: float


SUPPORT = (8, 14, 20, 30)
LIMITS = {
    Grade.LENIENT: Limits((0.80, 0.72, 0.62, 0.50), 0.28),
    Grade.NORMAL: Limits((0.86, 0.80, 0.70, 0.56), 0.21),
    Grade.STRICT: Limits((0.90, 0.86, 0.80, 0.70), 0.15),
}
#: Of two drawings, which share lines and letters with many others.
FLAT_LIMITS = {
    Grade.LENIENT: Limits((0.88,) * 4, 0.13),
    Grade.NORMAL: Limits((0.94,) * 4, 0.08),
    Grade.STRICT: Limits((0.97,) * 4, 0.05),
}
#: Of alignments that needed no keypoints.
REGISTERED_LIMITS = {
    Grade.LENIENT: Limits((0.64,) * 4, 0.2),
    Grade.NORMAL: Limits((0.72,) * 4, 0.17),
    Grade.STRICT: Limits((0.82,) * 4, 0.1),
}
#: Likeness of two pictures with keypoints that may need none.
_ALIKE = 0.75
#: Likeness, in the same place, of two pictures of one shape from which on one may be the other one drawn over.
_PERHAPS_ALIKE = 0.2
#: The same of two without keypoints that may lie on each other as they are, whatever registration says.
_IN_PLACE = 0.5
#: Likeness of two pictures that may be the same to the pixel.
_SAME = 0.95
#: Textured tiles that such an alignment must be seen in: the few of an icon agree by chance.
_REGISTERED_TILES = 32
#: Of fewer tiles, down to these, nearly all must agree, and the whole too: a blurred picture has no more.
_FEWEST_TILES = 20
SPARSE_LIMITS = {
    Grade.LENIENT: Limits((0.9,) * 4, 0.05),
    Grade.NORMAL: Limits((0.92,) * 4, 0.02),
    Grade.STRICT: Limits((0.97,) * 4, 0.0),
}
#: Of pictures in pieces: least share of their texture that is explained, and of their tiles that are found elsewhere.
SCATTERED = {Grade.LENIENT: (0.45, 0.16), Grade.NORMAL: (0.5, 0.2), Grade.STRICT: (0.7, 0.35)}
#: Share of the matches that one alignment holds of a picture in one piece.
_ONE_PIECE = 0.5
#: Textured tiles of the overlap below which their agreement tells nothing.
MIN_TILES = 6
#: Support from which on patches are looked for that lie elsewhere than the rest.
_PATCHED = 14
#: Keypoints below which a picture has too little texture to be laid on another one.
FEW_KEYPOINTS = 24
#: Places of an overlap up to which most of them must agree, and how many that is.
_FEW_SHARED, _MOST_OF_FEW = 64, 0.6
#: Places that a picture of today's usual effort has: of more, chance finds more that agree.
_USUAL_PLACES = 150


def verify_pair(a: Evidence, b: Evidence) -> Verdicts:
    """How pictures a and b relate: an array of VERDICT_DTYPE without dimensions. Pure and deterministic.

    Local evidence proposes how a lies on b, then the aligned pixels must agree.
    """
    if a.board is not None and b.board is not None:
        return np.asarray(_verify_boards([(a, b)])[0])
    best, pieces = relations.verdict(Kind.NONE), False
    for mirrored in (False, True):
        found = geometry.matched(a, b, mirrored=mirrored)
        verdict = _verify_matched(found, a, b)
        if verdict is not None:
            if verdict["grade"] >= Grade.NORMAL and verdict["kind"] != Kind.RELATED:
                return verdict
            # What is symmetric lies on its mirror image, with the rest of the picture beside it.
            best = max(best, verdict, key=_grade_of)
            pieces |= bool(verdict["inliers"] <= _ONE_PIECE * len(found.source))
    if best["grade"] >= Grade.NORMAL:
        # Perhaps it is one of many pieces, and the others lie elsewhere.
        other = _verify_pieces(a, b) if pieces else best
        return other if other["grade"] >= Grade.NORMAL else best
    if max(len(a.places), len(b.places)) < FEW_KEYPOINTS:
        if likeness(a.coarse, b.coarse) >= _SAME:
            best = max(best, np.asarray(_verify_boards([(with_board(a), with_board(b))])[0]), key=_grade_of)
        return max(best, _verify_plain(a, b), key=_grade_of)
    if likeness(a.coarse, b.coarse) >= _ALIKE:
        # Stripes, noise and tiny copies leave too few keypoints, where the whole is plain to see.
        whole = np.asarray(_verify_boards([(with_board(a), with_board(b))])[0])
        if whole["kind"] == Kind.COPY and not (
            geometry.of_one_shape(a, b) and a.coarse @ b.coarse >= _ALIKE and covering.differ_beside_common(a, b)
        ):
            best = max(best, whole, key=_grade_of)
    for verify in (_verify_covered, _verify_pieces):
        if best["grade"] < Grade.NORMAL:
            best = max(best, verify(a, b), key=_grade_of)
    return best


def _grade_of(verdict: Verdicts) -> int:
    return int(verdict["grade"])


def _verify_covered(a: Evidence, b: Evidence) -> Verdicts:
    """The verdict on two pictures that lie on each other as they are, one of them drawn over."""
    if not geometry.of_one_shape(a, b) or float(a.coarse @ b.coarse) < _PERHAPS_ALIKE:
        return relations.verdict(Kind.NONE)
    whole = Alignment(geometry.on_its_place(a, b), mirrored=False, inliers=0)
    agreed = covering.uncovered(_on_thumbs(whole, a, b), a, b)
    return _verdict_of(whole, agreed, Grade.NORMAL if agreed.tiles else Grade.NONE, a, b, method=Method.COVERED)


def verify_pairs(pairs: Sequence[tuple[Evidence, Evidence]]) -> Verdicts:
    """:func:`verify_pair` of each, VERDICT_DTYPE (n,)."""
    verdicts = np.zeros(len(pairs), dtype=VERDICT_DTYPE)
    boards = [row for row, (a, b) in enumerate(pairs) if a.board is not None and b.board is not None]
    verdicts[boards] = _verify_boards([pairs[row] for row in boards])
    for row in sorted(set(range(len(pairs))).difference(boards)):
        verdicts[row] = verify_pair(*pairs[row])
    return verdicts


def grade(agreed: Agreement, support: float, demands: Mapping[Grade, Limits] = LIMITS) -> Grade:
    """The strictest demand that an overlap meets; ``support``: places that agree on the alignment."""
    if agreed.tiles < MIN_TILES:
        return Grade.NONE
    passed = [
        which
        for which, limits in demands.items()
        if agreed.strength >= np.interp(support, SUPPORT, limits.strengths) and agreed.block <= limits.block
    ]
    return max(passed, default=Grade.NONE)


def _verify_matched(found: Matched, a: Evidence, b: Evidence) -> Verdicts | None:
    """The verdict by these matches; None where they tell nothing."""
    alignment = geometry.align(found)
    if alignment is None:
        return None
    support, method = _support(alignment, a, b), Method.KEYPOINTS
    agreed = agreement.measure(_on_thumbs(alignment, a, b), a, b)
    demands = FLAT_LIMITS if agreement.are_flat(a, b) else LIMITS
    reached = grade(agreed, support, demands)
    if reached < Grade.NORMAL and support >= _PATCHED:
        patches = displaced(found, alignment.matrix)
        if len(patches) > 1:
            agreed, method = _patched(alignment, patches, a, b), Method.PATCHES
            reached = max(reached, grade(agreed, support, demands))
    if reached < Grade.NORMAL:
        free = covering.uncovered(_on_thumbs(alignment, a, b), a, b)
        if free.tiles:
            agreed, reached, method = free, Grade.NORMAL, Method.COVERED
    return _verdict_of(alignment, agreed, reached, a, b, method=method)


def _verify_pieces(a: Evidence, b: Evidence) -> Verdicts:
    """The verdict on two pictures of which one is the other one cut into pieces in another order."""
    if agreement.are_flat(a, b):
        return relations.verdict(Kind.NONE)
    pieces = scattered(a, b)
    passed = (
        which
        for which, (explained, found) in SCATTERED.items()
        if pieces.explained >= explained and pieces.found >= found
    )
    whole = Alignment(geometry.on_its_place(a, b), mirrored=False, inliers=0)
    agreed = Agreement(pieces.explained, 0.0, pieces.found, pieces.pieces)
    return _verdict_of(whole, agreed, max(passed, default=Grade.NONE), a, b, method=Method.PIECES)


def _support(alignment: Alignment, a: Evidence, b: Evidence) -> float:
    """Places that agree, as if the overlap had no more of them than usual.

    Of few places most must agree, or they count as the fewest: charts share their axes and labels.
    """
    whole = geometry.full_matrix(alignment, a.size)
    shared = min(_within(whole, a, b), _within(geometry.inverse(whole), b, a))
    if shared < _FEW_SHARED and alignment.inliers < _MOST_OF_FEW * shared:
        return min(alignment.inliers, MIN_INLIERS)
    return alignment.inliers / max(1.0, shared / _USUAL_PLACES)


def _within(matrix: Matrix, inner: Evidence, outer: Evidence) -> int:
    """Places of ``inner`` that lie on ``outer``."""
    places = geometry.moved(matrix, inner.places)
    return int(np.count_nonzero(((places >= 0) & (places <= frame(outer.size))).all(axis=1)))


def _on_thumbs(alignment: Alignment, a: Evidence, b: Evidence) -> Matrix:
    return geometry.thumb_matrix(geometry.full_matrix(alignment, a.size), a, b)


def _patched(alignment: Alignment, patches: Displacements, a: Evidence, b: Evidence) -> Agreement:
    """Agreement where tiles may also lie displaced by one of the patches, frame units of b (k, 2)."""
    shifts = [np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]]) for x, y in patches]
    elsewhere = [_on_thumbs(replace(alignment, matrix=shift @ alignment.matrix), a, b) for shift in shifts]
    return agreement.measure(_on_thumbs(alignment, a, b), a, b, elsewhere)


def _verdict_of(
    alignment: Alignment, agreed: Agreement, reached: Grade, a: Evidence, b: Evidence, *, method: Method
) -> Verdicts:
    if not reached:
        return relations.verdict(Kind.NONE, agreement=agreed.share, inliers=alignment.inliers)
    matrix = _on_thumbs(alignment, a, b)
    if contents.contradict(matrix, a, b):
        return relations.verdict(Kind.NONE, agreement=agreed.share, inliers=alignment.inliers)
    kind, cover_a, cover_b = relations.relate(matrix, a, b)
    found = relations.verdict(
        kind,
        cover_a=cover_a,
        cover_b=cover_b,
        scale=relations.pixel_scale(matrix, a, b),
        mirrored=alignment.mirrored,
        turn=geometry.turn_of(alignment.matrix),
        agreement=agreed.share,
        inliers=alignment.inliers,
        grade=reached,
        method=method,
        transform=geometry.full_matrix(alignment, a.size),
    )
    return found if kind == Kind.RELATED else note(found, matrix, a, b)


def _verify_boards(pairs: Sequence[tuple[Evidence, Evidence]]) -> Verdicts:
    """Pictures without keypoints, a fast run's or plain ones: those with texture are laid on each other, (n,)."""
    verdicts = np.zeros(len(pairs), dtype=VERDICT_DTYPE)
    textured = [row for row, (a, b) in enumerate(pairs) if _is_textured(a) and _is_textured(b)]
    boards = [(a.board, b.board) for a, b in (pairs[row] for row in textured) if a.board and b.board]
    alignments = dict(zip(textured, register(boards), strict=True))
    for row, (a, b) in enumerate(pairs):
        if row not in alignments:
            verdicts[row] = _verify_plain(a, b)
        else:
            verdicts[row] = _verify_registered(alignments[row], a, b)
    return verdicts


def _verify_registered(alignments: Sequence[Alignment], a: Evidence, b: Evidence) -> Verdicts:
    """By the first of the alignments under which enough agrees, else by the one under which most does."""
    best = relations.verdict(Kind.NONE)
    flat, same = agreement.are_flat(a, b), likeness(a.coarse, b.coarse) >= _SAME
    for alignment in chain(alignments, _in_place(a, b)):
        agreed = agreement.measure(_on_thumbs(alignment, a, b), a, b)
        reached = Grade.NONE
        if agreed.tiles >= _REGISTERED_TILES:
            reached = grade(agreed, 0, FLAT_LIMITS if flat else REGISTERED_LIMITS)
        elif same and not flat and agreed.tiles >= _FEWEST_TILES:
            reached = grade(agreed, 0, SPARSE_LIMITS)
        if reached > _grade_of(best):
            best = _verdict_of(alignment, agreed, reached, a, b, method=Method.BOARD)
        if reached >= Grade.NORMAL:
            return best
    # Signs and drawings may have too little to be laid by, and be the same to the pixel.
    return max(best, _verify_plain(a, b), key=_grade_of) if same else best


def _in_place(a: Evidence, b: Evidence) -> Iterator[Alignment]:
    """That a lies on b as it is, where that may be: asked for when nothing else is right.

    Where light is clipped, a border may be seen in one of them alone, and what is left is laid awry.
    """
    alike = geometry.of_one_shape(a, b) and a.coarse @ b.coarse >= _IN_PLACE
    if alike and not covering.differ_beside_common(a, b):
        yield Alignment(geometry.on_its_place(a, b), mirrored=False, inliers=0)


def _is_textured(picture: Evidence) -> bool:
    return picture.board is not None and picture.board.textured


def _verify_plain(a: Evidence, b: Evidence) -> Verdicts:
    """The stricter rule for two pictures of little texture: pixel for pixel alike, or nothing."""
    if not (plain.nearly_identical(a.thumb, b.thumb) or plain.same_but_for_brightness(a.thumb, b.thumb)):
        return relations.verdict(Kind.NONE)
    whole = geometry.on_its_place(a, b)
    if contents.contradict(geometry.thumb_matrix(whole, a, b), a, b):
        return relations.verdict(Kind.NONE)
    return relations.verdict(
        Kind.COPY,
        cover_a=1.0,
        cover_b=1.0,
        scale=max(b.size) / max(a.size),
        agreement=1.0,
        method=Method.PLAIN,
        transform=whole,
    )
