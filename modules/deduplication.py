"""The matching story: candidates, verdicts, groups, and keepers against keepers until nothing moves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import chain, repeat

import numpy as np

from modules.features.catalogue import EMBEDDED
from modules.matching.candidates import REACHES, Reach, Rows, Search, Vectors
from modules.matching.common_ground import standing, unsettled
from modules.matching.fingerprint import MATCHER_FINGERPRINT
from modules.matching.groups import Grouping, assign, bridges
from modules.matching.ledger import Ledger, Pairs
from modules.matching.local_neighbours import LocalCodes
from modules.matching.relations import Verdicts
from modules.matching.scenes import SceneVerifier
from modules.matching.thresholds import Thresholds
from modules.matching.verdicts import verify_pair, verify_pairs
from modules.records import Effort, Kind, LookLevel, Pictures

__all__ = ["MATCHER_FINGERPRINT", "Grouping", "match", "same_picture", "same_scene", "verify_pair", "verify_pairs"]

log = logging.getLogger(__name__)

#: Pairs that are verified at once, so that a run that is stopped loses no more.
VERIFY_BLOCK = 32_768
#: Neighbours of a picture and extractor that are looked at for the same scene, where the settings say nothing.
SCENE_NEIGHBOURS = 20

Propose = Callable[[Rows], Pairs]
Verify = Callable[[Pairs], Verdicts]
Look = Callable[[Pairs, Verdicts], Verdicts]


def same_picture(
    pictures: Pictures,
    vectors: Vectors,
    local: LocalCodes,
    thresholds: Thresholds,
    *,
    effort: Effort,
    k: int | None,
    verify: Verify,
    look: Look | None,
    accepted: Collection[Kind],
    any_resolution: bool = False,
) -> Grouping:
    """Groups of the same picture: vectors, local codes and hashes propose, ``verify`` decides by geometry and pixels.

    vectors: per extractor, float16 (n, d) of length 1, and the extractor. effort: how far is searched. k: neighbours
    of a picture in the last search, None for what the effort says. verify, look, accepted, any_resolution: as
    :func:`match` has them.
    """
    log.info("same picture: pairs are proposed from a cosine of %s", thresholds.describe())
    *first, last = REACHES[effort]
    reaches = [*first, last if k is None else replace(last, neighbours=k)]
    searches = [Search(pictures, vectors, thresholds.least, reach, local) for reach in reaches]
    return match(pictures, searches, verify, accepted, look=look, any_resolution=any_resolution)


def same_scene(
    pictures: Pictures, vectors: Vectors, thresholds: Thresholds, k: int | None, *, judged: Callable[[int], None]
) -> Grouping:
    """Groups of the same scene: vectors propose and decide. judged: told how many pairs were, block by block."""
    log.info(
        "same scene: pairs count from a cosine of %s, by their mean; relations do not apply", thresholds.describe()
    )
    if thresholds.uncalibrated:
        names = ", ".join(thresholds.uncalibrated)
        log.warning("the thresholds of %s are uncalibrated: see what imgsieve calibrate says of your pictures", names)
    if set(vectors) <= set(EMBEDDED):
        names = ", ".join(vectors)
        log.warning("%s alone sees where edges and light lie, not what is shown: --features clip sees more", names)
    search = Search(pictures, vectors, thresholds.least, Reach(SCENE_NEIGHBOURS if k is None else k, variants=True))
    verify = SceneVerifier(pictures, vectors, thresholds.least, judged)
    return match(pictures, [search], verify, (Kind.SCENE,))


def match(
    pictures: Pictures,
    searches: Sequence[Propose],
    verify: Verify,
    accepted: Collection[Kind],
    *,
    look: Look | None = None,
    any_resolution: bool = False,
) -> Grouping:
    """Group the pictures, every duplicate directly matched with the keeper that stands for it.

    searches: each proposes candidate pairs, int32 (m, 2), i < j, among rows that it is given: all pictures first, then
    those that are still kept; the last one until nothing moves. verify: verdicts, VERDICT_DTYPE (m,), on such pairs
    with a = i, b = j; asked at most once for any pair. look: what a closer look says of such pairs and their verdicts;
    asked, once, of those that would be joined, and only what it says joins them; None where verdicts are final.
    accepted: the kinds that make a duplicate. any_resolution: see
    :func:`modules.matching.relations.holds`. Of those that match, the original is kept as
    far as it shows, else the picture of the least rank. The result depends on the pictures and the verdicts alone.
    """
    ledger = Ledger(len(pictures))
    # Scenes have no original, and other policies than quality do not ask for one.
    originals = not any_resolution and Kind.SCENE not in accepted

    def grouped() -> Grouping:
        rank = standing(pictures, ledger) if originals else pictures.rank
        return assign(rank, ledger, accepted, any_resolution=any_resolution, damaged=pictures.damaged)

    grouping = grouped()
    for number, search in enumerate(chain(searches, repeat(searches[-1])), start=1):
        searched = grouping.keepers()
        fresh, doubtful = ledger.unknown(search(searched)), _unseen(grouping, look)
        while len(fresh) or len(doubtful):
            if len(fresh):
                _judge(ledger, fresh, verify)
            elif look is not None:
                _look(ledger, doubtful, look)
            grouping = grouped()
            log.info("%d pairs judged, %d groups", len(ledger), len(grouping.keepers()))
            fresh = unsettled(grouping, ledger, accepted) if originals else bridges(grouping, ledger, accepted)
            doubtful = _unseen(grouping, look)
        if number >= len(searches) and np.array_equal(searched, grouping.keepers()):
            break
    return grouping


def _judge(ledger: Ledger, pairs: Pairs, verify: Verify) -> None:
    for start in range(0, len(pairs), VERIFY_BLOCK):
        block = pairs[start : start + VERIFY_BLOCK]
        ledger.add(block, verify(block))


def _unseen(grouping: Grouping, look: Look | None) -> Pairs:
    """Pairs, int32 (m, 2), i < j, sorted, that are joined and were not looked at."""
    if look is None:
        return np.zeros((0, 2), np.int32)
    rows = np.flatnonzero(
        (grouping.keeper != np.arange(len(grouping.keeper))) & (grouping.verdict["looked"] == LookLevel.NONE)
    )
    pairs = np.sort(np.stack([rows.astype(np.int32), grouping.keeper[rows]], axis=1), axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


def _look(ledger: Ledger, pairs: Pairs, look: Look) -> None:
    for start in range(0, len(pairs), VERIFY_BLOCK):
        block = pairs[start : start + VERIFY_BLOCK]
        ledger.replace(block, look(block, ledger.verdicts_of(block)))
