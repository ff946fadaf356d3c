"""Which of several copies the others were made from: each is compared with each on what both of them show.

Of copies of nearly equal quality the first one is the one that explains the others best: every copy differs from it by
one edit, and from other copies by two. What an edit takes away, or adds, says which way it went. Source of the idea:
Z. Dias, A. Rocha, S. Goldenstein, "Image phylogeny by minimal spanning trees", IEEE Transactions on Information
Forensics and Security 2012.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modules.matching.groups import Grouping, bridges, composed
from modules.matching.ledger import Ledger, Pairs, families, to_keys
from modules.matching.relations import Verdicts
from modules.records import Float32Array, Kind, Margin, Pictures

Rows = NDArray[np.int32]
Values = NDArray[np.float64]

#: Members of a group, the best ones, that are all compared with each other.
PANEL = 8

# What one edit costs a picture beside each other one, whichever of both was edited. Fitted, as all that follows, to
# photographs with 1 to 8 random edits each, by conditional logistic regression (D. McFadden 1973), and rounded.
_LIGHT, _COLOUR, _MIRRORED, _QUARTER, _TURNED, _BENT, _DRAWN = 5.0, 4.7, 3.2, 4.1, 1.3, 4.4, 4.0
_DETAIL, _GRAIN, _EDGES = 3.7, 2.1, 3.0
# Being nothing to another picture of the same ones.
_UNRELATED = 8.0
# Comparisons that nobody made, and what each would have cost.
_DOUBT, _BADLY_GONE = 2.0, 9.0
# Differences from which on an edit counts in full: levels of light, of colour (without one, that rounding leaves), of
# sharpness, of noise, of steepness, and thousandths that are drawn over, without so many that alignment leaves.
_ROUNDED, _LEVELS, _COLOUR_LEVELS = 1.0, 11.0, 5.0
_SHARPNESS_STEP, _NOISE_STEP, _EDGE_STEP, _DRAWN_SHARE, _DRAWN_LEAST = 0.2, 0.3, 0.2, 20.0, 4.0
# Percent of bend and degrees beside quarter turns that alignment leaves by itself.
_BEND, _TURN = 4, 1.0
# What it costs the edited one alone: drawn over, grey, with a border; cut, and cut by the bounds of a bent one, which
# alignment finds less well (in full from this logarithm of area on, and nothing below so much).
_DRAWN_ON, _GREY, _BORDERED, _CUT, _CUT_BENT, _CUT_AREA, _CUT_LEAST = 3.4, 1.6, 3.2, 2.8, 1.2, 0.03, 0.012
# Where the edge of a border is not seen, two measures of its area must agree this well, and leave this much of it.
_SAME_CONTENT, _WIDE = 0.05, 0.9
# What better pixels are worth: per unit of the logarithm of the scale, and of the measures of quality. What is larger
# and less sharp was made larger: sharpness counts more then; what is larger and sharper (by so much) is no copy of
# the small one (in full from this logarithm on).
_SCALE, _SHARPNESS, _ENLARGED, _NOISE, _EXPOSURE, _RESIZED = 1.9, 3.7, 2.0, 3.3, 2.4, 0.08
_FINER, _FINER_SCALE, _SHARPER = 3.0, 0.5, 0.03
# What less compression is worth, at once and per unit. It can be compared only where the blocks of 8 x 8 pixels lie
# alike, and nothing else was done to them unless one is compressed badly, or both are well: elsewhere an edit may have
# wiped away the traces of what came before it.
_COMPRESSED, _COMPRESSED_STEP, _COMPRESSION, _SAME_SCALE = 1.0, 0.03, 4.3, 0.01
_UNTOUCHED_LEVELS, _UNTOUCHED_DRAWN, _SAME_NOISE, _SAME_STEEPNESS, _BADLY, _WELL = 3, 6, 0.2, 0.1, 0.5, 0.9
# Compression sharpens what it spoils, by less than the second one.
_SAME_SHARPNESS, _SPOILED = 0.1, 0.25
# What the traces of an earlier compression cost: where the other one is what they say, and where it is not.
_CHILD, _TRACED, _SAME_TRACES = 1.1, 1.2, 0.03
# Colours at a finer resolution, and a file that says more of itself: an edit brings neither back.
_CHROMA, _DESCRIBED = 2.0, 1.0


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


def _merits(pictures: Pictures, pairs: Pairs, verdicts: Verdicts) -> Values:
    """How much each of two pictures looks like the one that the other one was made from, float64 (m, 2)."""

    def gain(column: Float32Array) -> Values:
        return column[pairs[:, 0]].astype(np.float64) - column[pairs[:, 1]]

    edits = _Edits.of(verdicts)
    sharper, calmer, steeper = gain(pictures.sharpness), gain(pictures.noise), gain(pictures.steepness)
    cost = edits.cost + _DETAIL * np.minimum(1, np.abs(sharper) / _SHARPNESS_STEP)
    cost += _GRAIN * np.minimum(1, np.abs(calmer) / _NOISE_STEP)
    cost += _EDGES * np.minimum(1, np.abs(steeper) / _EDGE_STEP)
    larger = -np.log(np.maximum(verdicts["scale"].astype(np.float64), 1e-3))
    ahead = edits.lean + _frames(pictures, pairs, verdicts) + _SCALE * larger
    ahead += (_SHARPNESS + _ENLARGED * (np.abs(larger) > _RESIZED)) * sharper
    ahead += _FINER * np.clip(larger / _FINER_SCALE, -1, 1) * (np.sign(larger) * sharper > _SHARPER)
    ahead += _NOISE * calmer + _EXPOSURE * gain(pictures.exposure)
    ahead += _CHROMA * np.sign(gain(pictures.chroma)) + _DESCRIBED * np.sign(gain(pictures.described))
    same = edits.untouched & (np.abs(steeper) < _SAME_STEEPNESS)
    upright = edits.upright & (np.abs(larger) < _SAME_SCALE)
    ahead += _generations(pictures, pairs, _Likeness(upright, same, sharper, calmer))
    return np.stack([ahead - cost, -ahead - cost], axis=1)


@dataclass(frozen=True, slots=True)
class _Likeness:
    """What of two pictures, (m,) each, lets their compression be compared.

    upright: blocks of pixels lie alike. same: so do light, colour, every place and the strength of edges. sharper,
    calmer: by how much a has more sharpness and less noise.
    """

    upright: NDArray[np.bool_]
    same: NDArray[np.bool_]
    sharper: Values
    calmer: Values

    def comparable(self, lighter: Values, worse: Values) -> NDArray[np.bool_]:
        """Where it can be. lighter: by how much a is compressed less. worse: the measure of the worse one."""
        # Compression takes noise away, and its own counts as sharpness.
        grain = (np.abs(self.calmer) < _SAME_NOISE) | (self.calmer * lighter < 0)
        apart = np.abs(self.sharper)
        detail = (apart < _SAME_SHARPNESS) | ((self.sharper * lighter < 0) & (apart < _SPOILED))
        return np.asarray(self.upright & ((self.same & grain & detail) | (worse > _WELL) | (worse < _BADLY)))


def _generations(pictures: Pictures, pairs: Pairs, likeness: _Likeness) -> Values:
    """How much what compression left says that b was made from a, (m,).

    A file that shows traces of a stronger compression than its own is a copy; where the other one was compressed just
    so, a copy of that one.
    """
    own, traces = pictures.saved.astype(np.float64), pictures.earlier.astype(np.float64)
    shown = np.minimum(own, traces)
    a, b = pairs[:, 0], pairs[:, 1]
    child = [_is_child(own, traces, parent, copy) for parent, copy in ((b, a), (a, b))]
    stray = [(traces[one] < 1) & (traces[other] >= 1) for one, other in ((a, b), (b, a))]
    ahead = _CHILD * (child[1].astype(np.float64) - child[0])
    ahead += _TRACED * ((stray[1] & ~child[1]).astype(np.float64) - (stray[0] & ~child[0]))
    lighter, worse = shown[a] - shown[b], np.minimum(shown[a], shown[b])
    compressed = _COMPRESSED * np.clip(lighter / _COMPRESSED_STEP, -1, 1) + _COMPRESSION * lighter
    comparable = likeness.comparable(lighter, worse) & ~child[0] & ~child[1]
    return np.asarray(ahead + np.where(comparable, compressed, 0))


def _is_child(own: Values, traces: Values, parent: NDArray[np.integer], copy: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether the traces in each ``copy`` are those of what its ``parent`` shows, and the parent's are not, (m,)."""
    found, shown = traces[copy], np.minimum(own, traces)[parent]
    alike = np.minimum(np.abs(own[parent] - found), np.abs(shown - found)) < _SAME_TRACES
    return np.asarray((found < 1) & alike & (np.abs(traces[parent] - found) >= _SAME_TRACES))


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
        light, colour = (verdicts[name].astype(np.float64) - _ROUNDED for name in ("light", "colour"))
        cost = _LIGHT * np.clip(light / _LEVELS, 0, 1) + _COLOUR * np.clip(colour / _COLOUR_LEVELS, 0, 1)
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
    more = beyond[0] - beyond[1]
    cut = np.sign(more) * np.clip((np.abs(more) - _CUT_LEAST) / _CUT_AREA, 0, 1)
    cut *= np.where(verdicts["bend"] > _BEND, _CUT_BENT, _CUT)
    return np.asarray(cut + _BORDERED * (framed[1] - framed[0]))
