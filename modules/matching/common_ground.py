"""Which of several copies the others were made from: each is compared with each on what both of them show.

Of copies of nearly equal quality the first one is the one that explains the others best: every copy differs from it by
one edit, and from other copies by two. What an edit takes away, or adds, says which way it went. Source of the idea:
Z. Dias, A. Rocha, S. Goldenstein, "Image phylogeny by minimal spanning trees", IEEE Transactions on Information
Forensics and Security 2012.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from modules.matching.groups import Grouping, bridges, composed
from modules.matching.ledger import Ledger, Pairs, families, to_keys
from modules.matching.reduced import reduced
from modules.matching.signs import FROM_B, UNRELATED, signs, weights
from modules.records import Kind, Pictures

Rows = NDArray[np.int32]
Values = NDArray[np.float64]

#: Members of a group, the best ones, that are all compared with each other.
PANEL = 8

# Comparisons that nobody made, and what each would have cost: between all of the costs and none.
_DOUBT, _BADLY_GONE = 2.0, 9.0


def standing(pictures: Pictures, ledger: Ledger) -> Rows:
    """Rank of each picture, int32 (n,), each of 0 to n - 1 once: ``pictures.rank``, but originals before their copies.

    Copies and parts of one picture come one after the other, in the order of how well they explain the others that they
    were compared with; those made smaller after the others, damaged ones last. Of equals the rank decides.
    """
    count = len(pictures)
    pairs, verdicts = ledger.related()
    within = np.isin(verdicts["kind"], (Kind.COPY, Kind.PART)) & ~composed(pairs, verdicts, count)[pairs].any(axis=1)
    if not within.any():
        return pictures.rank
    pairs, verdicts = pairs[within], verdicts[within]
    family = families(pairs, count)
    found = signs(pictures, pairs, verdicts)
    merits: Values = np.stack([found @ weights(), found @ (FROM_B * weights())], axis=1)
    strangers = _strangers(ledger, pairs, family)
    behind = 2 * pictures.damaged + reduced(pictures, pairs, verdicts)
    best = np.full(count, count, dtype=np.int64)
    np.minimum.at(best, family, pictures.rank)
    # Who was compared with few, and those like it, has little to answer for: the panel decides among equals.
    order = np.lexsort((pictures.rank, -_scores(pairs, merits, strangers, count, _DOUBT), behind, best[family]))
    panel = _places(family[order])[np.argsort(order)] < PANEL
    among, apart = panel[pairs].all(axis=1), panel[strangers].all(axis=1)
    final: Values = np.where(panel, _scores(pairs[among], merits[among], strangers[apart], count, 0), 0)
    place = np.argsort(order)
    rank = np.empty(count, dtype=np.int32)
    rank[np.lexsort((np.where(panel, pictures.rank, place), -final, ~panel, behind, best[family]))] = np.arange(count)
    return rank


def mean_signs(pictures: Pictures, ledger: Ledger) -> Values:
    """The mean signs of each picture beside all that it was compared with, (n, len(NAMES)): what weights are fitted to.

    Times the weights they are the scores of a family of at most PANEL pictures.
    """
    count = len(pictures)
    pairs, verdicts = ledger.related()
    within = np.isin(verdicts["kind"], (Kind.COPY, Kind.PART))
    pairs, verdicts = pairs[within], verdicts[within]
    strangers = _strangers(ledger, pairs, families(pairs, count))
    found = signs(pictures, pairs, verdicts)
    total = np.zeros((count, found.shape[1]))
    np.add.at(total, pairs[:, 0], found)
    np.add.at(total, pairs[:, 1], found * FROM_B)
    total[:, UNRELATED] += np.bincount(strangers.ravel(), minlength=count)
    compared = np.bincount(np.concatenate([pairs.ravel(), strangers.ravel()]), minlength=count)
    return np.asarray(total / np.maximum(compared, 1)[:, None])


def _scores(pairs: Pairs, merits: Values, strangers: Pairs, count: int, doubt: float) -> Values:
    """Mean merit of each picture beside those that it was compared with, (n,), in hundredths.

    strangers: pairs of one family that have nothing to do with each other. doubt: comparisons that are assumed to have
    gone badly. As with the quality that is reported, less than a hundredth is no difference.
    """
    total = weights()[UNRELATED] * np.bincount(strangers.ravel(), minlength=count) - _BADLY_GONE * doubt
    compared = np.bincount(strangers.ravel(), minlength=count) + doubt
    for side in (0, 1):
        total += np.bincount(pairs[:, side], merits[:, side], minlength=count)
        compared += np.bincount(pairs[:, side], minlength=count)
    return np.asarray(np.round(total / np.maximum(compared, 1), 2))


def _places(groups: NDArray[np.integer]) -> NDArray[np.int64]:
    """Place of each within its run of equal numbers, (n,), from 0."""
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    return np.arange(len(groups)) - np.repeat(starts, np.diff(np.append(starts, len(groups))))


def comparisons(grouping: Grouping, ledger: Ledger) -> Pairs:
    """Pairs to judge, int32 (m, 2), so that the best members of each group are all compared with each other."""
    order = np.lexsort((grouping.position, grouping.keeper))
    keeper = grouping.keeper[order]
    place = _places(keeper)
    found = []
    for step in range(1, PANEL):
        ahead = np.flatnonzero((place[step:] < PANEL) & (keeper[step:] == keeper[:-step]))
        found.append(np.stack([order[ahead], order[ahead + step]], axis=1))
    pairs = np.concatenate(found).astype(np.int32)
    return ledger.unknown(np.sort(pairs, axis=1))


def unsettled(grouping: Grouping, ledger: Ledger, accepted: Collection[Kind]) -> Pairs:
    """Pairs to judge next, int32 (m, 2): bridges, and comparisons in families of related pictures that have none.

    No family waits for another one: what is asked of it is the same whatever other pictures there are.
    """
    bridging, compared = bridges(grouping, ledger, accepted), comparisons(grouping, ledger)
    family = families(ledger.related()[0], ledger.count)
    settled = ~np.isin(family[compared[:, 0]], family[bridging])
    return ledger.unknown(np.concatenate([bridging, compared[settled]]))


def _strangers(ledger: Ledger, related: Pairs, family: NDArray[np.int64]) -> Pairs:
    """Pairs of one family, (m, 2), that were compared and have nothing to do with each other."""
    judged = ledger.judged()
    judged = judged[family[judged[:, 0]] == family[judged[:, 1]]]
    return np.asarray(judged[~np.isin(to_keys(judged, ledger.count), to_keys(related, ledger.count))])
