"""The matching story: candidates, verdicts, groups, and keepers against keepers until nothing moves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np

from modules.features.base import fingerprint
from modules.matching import agreement, geometry, relations
from modules.matching.candidates import Search, Vectors, propose
from modules.matching.geometry import Alignment, Size
from modules.matching.groups import Grouping, assign, bridges
from modules.matching.ledger import Ledger, Pairs
from modules.matching.relations import Verdicts
from modules.matching.scenes import SceneVerifier
from modules.matching.thresholds import Thresholds
from modules.records import VERDICT_DTYPE, Keypoints, Kind, Pictures

__all__ = ["MATCHER_FINGERPRINT", "Grouping", "match", "same_picture", "same_scene", "verify_pair", "verify_pairs"]

log = logging.getLogger(__name__)

#: Raised by hand when the same two pictures would get another verdict.
VERSION = 2
MATCHER_FINGERPRINT = fingerprint("matcher", VERSION)

#: Least share of the textured tiles of the overlap that must agree.
MIN_AGREEMENT = 0.72
#: Largest connected region that may differ, as a share of them: a caption may, another picture in a frame not.
MAX_BLOCK = 0.25
#: Textured tiles of the overlap below which their agreement tells nothing.
MIN_TILES = 6
#: Keypoints below which a picture has too little texture to be laid on another one.
FEW_KEYPOINTS = 24
#: Pairs that are verified at once, so that a run that is stopped loses no more.
VERIFY_BLOCK = 32_768

Propose = Callable[[Pairs | None], Pairs]
Verify = Callable[[Pairs], Verdicts]


def verify_pair(a: Keypoints, b: Keypoints, size_a: Size, size_b: Size) -> Verdicts:
    """How pictures a and b relate: an array of VERDICT_DTYPE without dimensions. Pure and deterministic.

    size_a, size_b: (width, height) of the stored pictures, pixels. Local evidence proposes how a lies on b,
    then the aligned pixels must agree. Raises ImgsieveError for a thumbnail that is not a picture.
    """
    best = relations.verdict(Kind.NONE)
    for mirrored in (False, True):
        alignment = geometry.align(a, b, size_a, size_b, mirrored=mirrored)
        if alignment is not None:
            found = _verify_aligned(alignment, a, b, size_a, size_b)
            if found["kind"] != Kind.NONE:
                return found
            best = found
    if max(len(a.points), len(b.points)) < FEW_KEYPOINTS:
        return _verify_plain(a, b, size_a, size_b)
    return best


def _verify_aligned(alignment: Alignment, a: Keypoints, b: Keypoints, size_a: Size, size_b: Size) -> Verdicts:
    thumb_a, thumb_b = agreement.decode_thumb(a.thumb), agreement.decode_thumb(b.thumb)
    whole = geometry.full_matrix(alignment, size_a)
    matrix = agreement.thumb_matrix(whole, thumb_a, thumb_b, size_a, size_b)
    agreed = agreement.measure(matrix, thumb_a, thumb_b)
    if agreed.tiles < MIN_TILES or agreed.share < MIN_AGREEMENT or agreed.block > MAX_BLOCK:
        return relations.verdict(Kind.NONE, agreement=agreed.share, inliers=alignment.inliers)
    kind, cover_a, cover_b = relations.relate(matrix, thumb_a, thumb_b)
    return relations.verdict(
        kind,
        cover_a=cover_a,
        cover_b=cover_b,
        scale=relations.pixel_scale(matrix, thumb_a, thumb_b, size_a, size_b),
        mirrored=alignment.mirrored,
        turn=geometry.turn_of(alignment.matrix),
        agreement=agreed.share,
        inliers=alignment.inliers,
    )


def _verify_plain(a: Keypoints, b: Keypoints, size_a: Size, size_b: Size) -> Verdicts:
    """The stricter rule for two pictures of little texture: pixel for pixel alike, or nothing."""
    thumbs = agreement.decode_thumb(a.thumb), agreement.decode_thumb(b.thumb)
    if not (agreement.nearly_identical(*thumbs) or agreement.same_but_for_brightness(*thumbs)):
        return relations.verdict(Kind.NONE)
    return relations.verdict(Kind.COPY, cover_a=1.0, cover_b=1.0, scale=max(size_b) / max(size_a), agreement=1.0)


def verify_pairs(pairs: Sequence[tuple[Keypoints, Keypoints, Size, Size]]) -> Verdicts:
    """:func:`verify_pair` of each, VERDICT_DTYPE (n,)."""
    verdicts = np.zeros(len(pairs), dtype=VERDICT_DTYPE)
    for row, pair in enumerate(pairs):
        verdicts[row] = verify_pair(*pair)
    return verdicts


def same_picture(
    pictures: Pictures,
    vectors: Vectors,
    thresholds: Thresholds,
    k: int,
    *,
    verify: Verify,
    accepted: Collection[Kind],
    any_resolution: bool = False,
) -> Grouping:
    """Groups of the same picture: vectors and hashes propose pairs, ``verify`` decides by geometry and pixels.

    vectors: per extractor, float16 (n, d) of length 1, and the extractor. verify, accepted, any_resolution: as
    :func:`match` has them.
    """
    log.info("same picture: pairs are proposed from a cosine of %s", thresholds.describe())
    search = partial(propose, pictures, vectors, Search(thresholds.least, k))
    return match(pictures, search, verify, accepted, any_resolution=any_resolution)


def same_scene(
    pictures: Pictures, vectors: Vectors, thresholds: Thresholds, k: int, *, judged: Callable[[int], None]
) -> Grouping:
    """Groups of the same scene: vectors propose and decide. judged: told how many pairs were, block by block."""
    log.info(
        "same scene: pairs count from a cosine of %s, by their mean; relations do not apply", thresholds.describe()
    )
    if thresholds.uncalibrated:
        names = ", ".join(thresholds.uncalibrated)
        log.warning("the thresholds of %s are uncalibrated: see what imgsieve calibrate says of your pictures", names)
    if set(vectors) == {"perceptual"}:
        log.warning("perceptual alone sees where edges and light lie, not what is shown: --features clip sees more")
    search = Search(thresholds.least, k, hashes=False)
    verify = SceneVerifier(pictures, vectors, thresholds.least, judged)
    return match(pictures, partial(propose, pictures, vectors, search), verify, (Kind.SCENE,))


def match(
    pictures: Pictures, propose: Propose, verify: Verify, accepted: Collection[Kind], *, any_resolution: bool = False
) -> Grouping:
    """Group the pictures, every duplicate directly matched with the keeper that stands for it.

    propose: candidate pairs among all pictures (None) or among a subset of rows, int32 (m, 2), i < j. verify:
    verdicts, VERDICT_DTYPE (m,), on such pairs with a = i, b = j; asked at most once for any pair. accepted:
    the kinds that make a duplicate. any_resolution: see :func:`modules.matching.relations.holds`. Of those that
    match, the picture of the least rank is kept. The result depends on the pictures and the verdicts alone.
    """
    ledger = Ledger(len(pictures))
    grouping = assign(pictures.rank, ledger, accepted, any_resolution=any_resolution)
    searched = grouping.keepers()
    fresh = propose(None)
    while len(fresh):
        _judge(ledger, fresh, verify)
        grouping = assign(pictures.rank, ledger, accepted, any_resolution=any_resolution)
        keepers = grouping.keepers()
        log.info("%d pairs judged, %d groups", len(ledger), len(keepers))
        fresh = bridges(grouping, ledger, accepted)
        if len(fresh) == 0 and not np.array_equal(keepers, searched):
            searched = keepers
            fresh = ledger.unknown(propose(keepers))
    return grouping


def _judge(ledger: Ledger, pairs: Pairs, verify: Verify) -> None:
    for start in range(0, len(pairs), VERIFY_BLOCK):
        block = pairs[start : start + VERIFY_BLOCK]
        ledger.add(block, verify(block))
