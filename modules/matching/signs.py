"""What tells of two copies which one was made from the other: signs by name, and what each weighs.

A sign is a number of two pictures of one family. Costs tell how far they are apart, whichever of both was edited; leans
say that it was b. Their weights are fitted by ``python -m training.keeper``, not typed in: see docs/keeper.md.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modules.matching.generations import generations
from modules.matching.ledger import Pairs
from modules.matching.relations import Verdicts
from modules.records import Margin, Pictures

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: What one edit costs a picture beside each other one, and what being nothing to one of the same family does.
COSTS = (
    *("light", "colour", "mirrored", "quarter", "turned", "bent", "drawn"),
    *("detail", "grain", "edges", "unrelated"),
)
#: What says that a was there before b.
LEANS = (
    # what was drawn on, lost its colours, was framed or cut; cut by the bounds of a bent one, which are less exact
    *("drawn_on", "grey", "framed", "cut", "cut_bent"),
    # more pixels; of two sizes, that there are two, and how sharp the larger one and how much sharper the smaller is
    *("larger", "two_sizes", "larger_sharp", "smaller_sharper", "larger_sharper"),
    *("sharper", "calmer", "exposed"),
    # what compression left: at once and per unit, traces that are another's, traces of what is not there
    *("saved_better", "saved_better_by", "parent", "untraced"),
    # without loss where the smaller one has some; true colours beside a palette; colours at a finer resolution
    *("lossless_larger", "true_colour", "chroma"),
    # a file that says more of itself, of its camera, and one with companions
    *("described", "told", "accompanied"),
)
#: All, in the order of columns, and the sign that each has seen from b.
NAMES = (*COSTS, *LEANS)
FROM_B: Values = np.repeat([1.0, -1.0], [len(COSTS), len(LEANS)])
UNRELATED = NAMES.index("unrelated")

# Differences from which on a sign counts in full, each some three times what saving at quality 75 leaves: levels of
# light and of colour (without one, that rounding leaves), of sharpness, of noise, of steepness, and thousandths that
# are drawn over, without so many that alignment leaves.
_ROUNDED, _LEVELS, _COLOUR_LEVELS = 1.0, 11.0, 5.0
_SHARPNESS_STEP, _NOISE_STEP, _EDGE_STEP, _DRAWN_SHARE, _DRAWN_LEAST = 0.2, 0.3, 0.2, 20.0, 4.0
# Percent of bend and degrees beside quarter turns that alignment leaves by itself.
_BEND, _TURN = 4, 1.0
# Logarithm of area from which on a cut counts in full, and what alignment leaves.
_CUT_AREA, _CUT_LEAST = 0.03, 0.012
# Where the edge of a border is not seen, two measures of its area must agree this well, and leave this much of it.
_SAME_CONTENT, _WIDE = 0.05, 0.9
# Logarithm of the scale from which on two pictures have two sizes, and by how much the larger one must be the sharper.
_RESIZED, _SHARPER = 0.08, 0.03
# Levels and thousandths within which light, colour and every place are the same.
_UNTOUCHED_LEVELS, _UNTOUCHED_DRAWN, _SAME_STEEPNESS, _SAME_SCALE = 3, 6, 0.1, 0.01


@cache
def weights() -> Values:
    """What each sign weighs, (len(NAMES),): costs are negative. Raises KeyError for a sign without a weight."""
    found = json.loads(Path(__file__).with_name("keeper.json").read_bytes())
    return np.array([-found[name] for name in COSTS] + [found[name] for name in LEANS], np.float64)


def signs(pictures: Pictures, pairs: Pairs, verdicts: Verdicts) -> Values:
    """The signs of pairs, (m, len(NAMES)), seen from a; seen from b each is FROM_B times as much."""

    def gain(column: NDArray[np.generic]) -> Values:
        wide = column.astype(np.float64)
        return np.asarray(wide[pairs[:, 0]] - wide[pairs[:, 1]])

    turn, turned = np.abs(verdicts["turn"].astype(np.float64)), _is_turned(verdicts)
    quarter = ~turned & (np.rint(turn / 90) % 4 != 0)
    mirrored, bent = verdicts["mirrored"], verdicts["bend"] > _BEND
    light, colour = (np.clip(verdicts[name].astype(np.float64) - _ROUNDED, 0, None) for name in ("light", "colour"))
    on_a, on_b = (verdicts[f"drawn_{side}"].astype(np.float64) for side in "ab")
    drawn = np.clip((on_a + on_b - _DRAWN_LEAST) / _DRAWN_SHARE, 0, 1)
    sharper, calmer, steeper = gain(pictures.sharpness), gain(pictures.noise), gain(pictures.steepness)
    larger = -np.log(np.maximum(verdicts["scale"].astype(np.float64), 1e-3))
    cut, framed = _frames(pictures, pairs, verdicts)
    untouched = np.maximum(verdicts["light"], verdicts["colour"]) <= _UNTOUCHED_LEVELS
    untouched &= (on_a + on_b <= _UNTOUCHED_DRAWN) & (np.abs(steeper) < _SAME_STEEPNESS)
    upright = ~(mirrored | turned | quarter | bent) & (np.abs(larger) < _SAME_SCALE)
    found = {
        "light": np.minimum(1, light / _LEVELS),
        "colour": np.minimum(1, colour / _COLOUR_LEVELS),
        "mirrored": mirrored,
        "quarter": quarter,
        "turned": turned,
        "bent": bent,
        "drawn": drawn,
        "detail": np.minimum(1, np.abs(sharper) / _SHARPNESS_STEP),
        "grain": np.minimum(1, np.abs(calmer) / _NOISE_STEP),
        "edges": np.minimum(1, np.abs(steeper) / _EDGE_STEP),
        "unrelated": np.zeros(len(pairs)),
        "drawn_on": drawn * (on_b - on_a) / np.maximum(on_a + on_b, 1),
        "grey": verdicts["grey_b"].astype(np.float64) - verdicts["grey_a"],
        "framed": framed,
        "cut": np.where(bent, 0, cut),
        "cut_bent": np.where(bent, cut, 0),
        "larger": larger,
        "sharper": sharper,
        "calmer": calmer,
        "exposed": gain(pictures.exposure),
        "true_colour": -gain(pictures.indexed),
        "chroma": np.sign(gain(pictures.chroma)),
        "described": np.sign(gain(pictures.described)),
        "told": np.sign(gain(pictures.told)),
        "accompanied": gain(pictures.accompanied),
        **_sizes(pictures, pairs, larger, sharper),
        **generations(pictures, pairs, upright=upright, same=untouched, sharper=sharper, calmer=calmer),
    }
    return np.stack([np.asarray(found[name], np.float64) for name in NAMES], axis=1)


def _sizes(pictures: Pictures, pairs: Pairs, larger: Values, sharper: Values) -> dict[str, Values]:
    """What two sizes of one picture tell: what was enlarged is softer than its pixels could be."""
    side = np.sign(larger) * (np.abs(larger) > _RESIZED)
    lossless = (pictures.saved >= 1) & (pictures.earlier >= 1)
    first, second = (np.where(larger > 0, pairs[:, one], pairs[:, 1 - one]) for one in (0, 1))
    ahead = side * sharper
    return {
        "two_sizes": side,
        "larger_sharp": side * pictures.sharpness[first].astype(np.float64),
        "smaller_sharper": -side * np.maximum(0, -ahead),
        "larger_sharper": side * (ahead > _SHARPER),
        "lossless_larger": side * (lossless[first] & ~lossless[second]),
    }


def _is_turned(verdicts: Verdicts) -> Flags:
    """By something else than quarters, (m,)."""
    turn = np.abs(verdicts["turn"].astype(np.float64))
    return np.asarray(np.minimum(turn % 90, 90 - turn % 90) > _TURN)


def _frames(pictures: Pictures, pairs: Pairs, verdicts: Verdicts) -> tuple[Values, Values]:
    """How much what lies beyond the common ground says that b is cut, and that b is framed, (m,) each."""
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
    return np.asarray(cut), np.asarray(framed[1] - framed[0])
