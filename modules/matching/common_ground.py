"""Which of several copies the others were made from: each is compared with each on what both of them show.

Of copies of nearly equal quality the first one is the one that explains the others best: every copy differs from it by
one edit, and from other copies by two. What an edit takes away, or adds, says which way it went. Source of the idea:
Z. Dias, A. Rocha, S. Goldenstein, "Image phylogeny by minimal spanning trees", IEEE Transactions on Information
Forensics and Security 2012.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modules.matching.groups import Grouping, composed
from modules.matching.ledger import Ledger, Pairs, to_keys
from modules.matching.relations import Verdicts
from modules.records import Float32Array, Kind, Margin, Pictures

Rows = NDArray[np.int32]
Values = NDArray[np.float64]

#: Members of a group, the best ones, that are all compared with each other.
PANEL = 8

# What one edit costs a picture beside each other one, whichever of both was edited. Fitted, as all that follows, to
# photographs with 1 to 8 random edits each, by conditional logistic regression (D. McFadden 1973), and rounded.
_LIGHT, _COLOUR, _MIRRORED, _QUARTER, _TURNED, _BENT, _DRAWN = 2.9, 2.3, 1.7, 1.6, 1.2, 2.4, 2.2
_DETAIL, _GRAIN = 2.3, 1.0
# Weight of the comparison with the first one of all.
_DUEL = 0.15
# Being nothing to another picture of the same ones.
_UNRELATED = 5.0
# Comparisons that nobody made, and what each would have cost.
_DOUBT, _BADLY_GONE = 2.0, 5.0
# Differences from which on an edit counts in full: levels of light, of colour, of sharpness, of noise, and thousandths
# that are drawn over, without so many that alignment leaves.
_LEVELS, _COLOUR_LEVELS, _SHARPNESS_STEP, _NOISE_STEP, _DRAWN_SHARE, _DRAWN_LEAST = 12.0, 6.0, 0.2, 0.3, 20.0, 4.0
# Percent of bend and degrees beside quarter turns that alignment leaves by itself.
_BEND, _TURN = 4, 1.0
# What it costs the edited one alone: drawn over, grey, with a border; cut (in full from this logarithm of area on).
_DRAWN_ON, _GREY, _BORDERED, _CUT, _CUT_AREA = 2.7, 1.1, 2.0, 2.0, 0.03
# Where the edge of a border is not seen, two measures of its area must agree this well, and leave this much of it.
_SAME_CONTENT, _WIDE = 0.05, 0.9
# What better pixels are worth: per unit of the logarithm of the scale, and of the measures of quality.
_SCALE, _SHARPNESS, _NOISE, _EXPOSURE = 2.0, 3.0, 1.8, 1.5
# What less compression is worth, at once and per unit. It can be compared only where the blocks of 8 x 8 pixels lie
# alike, and nothing else was done to them unless one is compressed badly, or both are well: elsewhere an edit may have
# wiped away the traces of what came before it.
_COMPRESSED, _COMPRESSED_STEP, _COMPRESSION, _SAME_SCALE = 0.8, 0.03, 1.8, 0.01
_UNTOUCHED_LEVELS, _UNTOUCHED_DRAWN, _SAME_SHARPNESS, _SAME_NOISE, _BADLY, _WELL = 3, 6, 0.1, 0.2, 0.5, 0.9


def standing(pictures: Pictures, ledger: Ledger) -> Rows:
    """Rank of each picture, int32 (n,), each of 0 to n - 1 once: ``pictures.rank``, but originals before their copies.

    Copies and parts of one picture come one after the other, in the order of how well they explain the others that they
    were compared with. Where there is no difference the rank decides.
    """
    count = len(pictures)
    pairs, verdicts = ledger.related()
    within = np.isin(verdicts["kind"], (Kind.COPY, Kind.PART)) & ~composed(pairs, verdicts, count)[pairs].any(axis=1)
    if not within.any():
        return pictures.rank
    pairs, verdicts = pairs[within], verdicts[within]
    family = families(pairs, count)
    merits = _merits(pictures, pairs, verdicts)
    strangers = _strangers(ledger, pairs, family)
    best = np.full(count, count, dtype=np.int64)
    np.minimum.at(best, family, pictures.rank)
    # Who was compared with few, and those like it, has little to answer for: the panel decides among equals.
    order = np.lexsort((pictures.rank, -_scores(pairs, merits, strangers, count, _DOUBT), best[family]))
    panel = _places(family[order])[np.argsort(order)] < PANEL
    among, apart = panel[pairs].all(axis=1), panel[strangers].all(axis=1)
    final: Values = np.where(panel, _scores(pairs[among], merits[among], strangers[apart], count, 0), 0)
    final += _duels(pairs[among], merits[among], np.lexsort((pictures.rank, -final, ~panel, best[family])), family)
    place = np.argsort(order)
    rank = np.empty(count, dtype=np.int32)
    rank[np.lexsort((np.where(panel, pictures.rank, place), -final, ~panel, best[family]))] = np.arange(count)
    return rank


def _scores(pairs: Pairs, merits: Values, strangers: Pairs, count: int, doubt: float) -> Values:
    """Mean merit of each picture beside those that it was compared with, (n,), in hundredths.

    strangers: pairs of one family that have nothing to do with each other. doubt: comparisons that are assumed to have
    gone badly. As with the quality that is reported, less than a hundredth is no difference.
    """
    total = -_UNRELATED * np.bincount(strangers.ravel(), minlength=count) - _BADLY_GONE * doubt
    compared = np.bincount(strangers.ravel(), minlength=count) + doubt
    for side in (0, 1):
        total += np.bincount(pairs[:, side], merits[:, side], minlength=count)
        compared += np.bincount(pairs[:, side], minlength=count)
    return np.asarray(np.round(total / np.maximum(compared, 1), 2))


def _duels(pairs: Pairs, merits: Values, order: NDArray[np.intp], family: NDArray[np.int64]) -> Values:
    """What each picture that explains the first one of its family better than that one explains it gains, (n,).

    order: all rows, the best first within each family. Means over all others differ by little where these were edited
    in ways that no two pictures of one family share: then what parts the two is all that tells.
    """
    first = np.zeros(len(family), np.bool_)
    first[order[np.unique(family[order], return_index=True)[1]]] = True
    gained = np.zeros(len(family))
    for side in (0, 1):
        ahead = merits[:, side] - merits[:, 1 - side]
        beaten = first[pairs[:, 1 - side]] & (ahead > 0)
        gained[pairs[beaten, side]] = _DUEL * ahead[beaten]
    return gained


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


def families(pairs: Pairs, count: int) -> NDArray[np.int64]:
    """A number for each picture, (count,), the same for all that the pairs join: connected components."""
    label = np.arange(count, dtype=np.int64)
    while True:
        least = np.minimum(label[pairs[:, 0]], label[pairs[:, 1]])
        before = label.copy()
        for side in (0, 1):
            np.minimum.at(label, pairs[:, side], least)
            np.minimum.at(label, before[pairs[:, side]], least)
        label = label[label]
        if np.array_equal(label, before):
            return label


def _strangers(ledger: Ledger, related: Pairs, family: NDArray[np.int64]) -> Pairs:
    """Pairs of one family, (m, 2), that were compared and have nothing to do with each other."""
    judged = ledger.judged()
    judged = judged[family[judged[:, 0]] == family[judged[:, 1]]]
    return np.asarray(judged[~np.isin(to_keys(judged, ledger.count), to_keys(related, ledger.count))])


def _merits(pictures: Pictures, pairs: Pairs, verdicts: Verdicts) -> Values:
    """How much each of two pictures looks like the one that the other one was made from, float64 (m, 2)."""

    def gain(column: Float32Array) -> Values:
        return column[pairs[:, 0]].astype(np.float64) - column[pairs[:, 1]]

    edits = _Edits.of(verdicts)
    sharper, calmer, lighter = gain(pictures.sharpness), gain(pictures.noise), gain(pictures.compression)
    cost = edits.cost + _DETAIL * np.minimum(1, np.abs(sharper) / _SHARPNESS_STEP)
    cost += _GRAIN * np.minimum(1, np.abs(calmer) / _NOISE_STEP)
    ahead = edits.lean + _frames(pictures, pairs, verdicts)
    ahead += _SHARPNESS * sharper + _NOISE * calmer + _EXPOSURE * gain(pictures.exposure)
    larger = -np.log(np.maximum(verdicts["scale"].astype(np.float64), 1e-3))
    ahead += _SCALE * larger
    # An edit of a strongly compressed picture that is saved well shows no traces of it, and is no better for that.
    worse = np.minimum(pictures.compression[pairs[:, 0]], pictures.compression[pairs[:, 1]])
    # Compression takes noise away.
    grain = (np.abs(calmer) < _SAME_NOISE) | (calmer * lighter < 0)
    plain = edits.untouched & (np.abs(sharper) < _SAME_SHARPNESS) & grain
    comparable = edits.upright & (np.abs(larger) < _SAME_SCALE) & (plain | (worse > _WELL) | (worse < _BADLY))
    compressed = _COMPRESSED * np.clip(lighter / _COMPRESSED_STEP, -1, 1) + _COMPRESSION * lighter
    ahead += np.where(comparable, compressed, 0)
    return np.stack([ahead - cost, -ahead - cost], axis=1)


@dataclass(frozen=True, slots=True)
class _Edits:
    """What parts the pictures of each verdict, (m,) each.

    cost: to both. lean: how much what was edited says that it was b and not a. upright: neither turned nor mirrored nor
    bent. untouched: light, colour and every place are those of the other one.
    """

    cost: Values
    lean: Values
    upright: NDArray[np.bool_]
    untouched: NDArray[np.bool_]

    @classmethod
    def of(cls, verdicts: Verdicts) -> _Edits:
        cost = _LIGHT * np.minimum(1, verdicts["light"] / _LEVELS)
        cost += _COLOUR * np.minimum(1, verdicts["colour"] / _COLOUR_LEVELS)
        turn, turned = np.abs(verdicts["turn"].astype(np.float64)), _is_turned(verdicts)
        quarter = ~turned & (np.rint(turn / 90) % 4 != 0)
        mirrored, bent = verdicts["mirrored"], verdicts["bend"] > _BEND
        cost += _MIRRORED * mirrored + _TURNED * turned + _QUARTER * quarter + _BENT * bent
        on_a, on_b = (verdicts[f"drawn_{side}"].astype(np.float64) for side in "ab")
        drawn = np.clip((on_a + on_b - _DRAWN_LEAST) / _DRAWN_SHARE, 0, 1)
        cost += _DRAWN * drawn
        lean = _DRAWN_ON * drawn * (on_b - on_a) / np.maximum(on_a + on_b, 1)
        lean += _GREY * (verdicts["grey_b"].astype(np.float64) - verdicts["grey_a"])
        untouched = np.maximum(verdicts["light"], verdicts["colour"]) <= _UNTOUCHED_LEVELS
        untouched &= on_a + on_b <= _UNTOUCHED_DRAWN
        return cls(cost, lean, ~(mirrored | turned | quarter | bent), untouched)


def _is_turned(verdicts: Verdicts) -> NDArray[np.bool_]:
    """By something else than quarters, (m,)."""
    turn = np.abs(verdicts["turn"].astype(np.float64))
    return np.asarray(np.minimum(turn % 90, 90 - turn % 90) > _TURN)


def _frames(pictures: Pictures, pairs: Pairs, verdicts: Verdicts) -> Values:
    """How much what lies beyond the common ground says that a is the whole picture and b is cut or framed, (m,)."""
    beyond, framed = [], []
    turned = _is_turned(verdicts)
    for side, column in enumerate("ab"):
        area = np.maximum(verdicts[f"area_{column}"].astype(np.float64), 0.05)
        margin = verdicts[f"margin_{column}"]
        content = pictures.content[pairs[:, side]]
        # The corners beside a turned picture are as plain, and were never there before.
        added = turned | (np.abs(content - area) < _SAME_CONTENT)
        seen = (margin == Margin.PLAIN) & (area < _WIDE) & added
        border = (margin == Margin.BORDER) | seen
        framed.append(border.astype(np.float64))
        # One plain tone beyond is no evidence: a crop leaves out such ground, a border adds it.
        beyond.append(np.where(border | (margin == Margin.PLAIN), 0.0, -np.log(area)))
    cut = np.clip((beyond[0] - beyond[1]) / _CUT_AREA, -1, 1)
    return np.asarray(_CUT * cut + _BORDERED * (framed[1] - framed[0]))
