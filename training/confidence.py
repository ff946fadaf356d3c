"""Fits the model of :mod:`modules.matching.confidence` to pairs of which the truth is known, and writes its numbers.

    python -m training.confidence FOLDER [--seed N] [--tasks N] [--processes N]

FOLDER keeps the pairs that were made (an hour on two cores), so that fitting can be repeated in seconds. The same
arguments give the same file. It prints how the model does on families that it was not fitted to, and how well its
probabilities are calibrated there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from modules.matching.confidence import FILE, INPUTS, SURE
from training.pairs import Sample, make_samples

#: What makes two pictures more likely the same, and less, whatever else is so.
RISING = ("agreement", "inliers", "alike_02", "alike_10", "alike_25", "alike_50", "bent_02", "bent_10", "bent_50")
FALLING = (
    *("shift_75", "shift_90", "shift_97", "shifted_1", "shifted_2", "shifted_block"),
    *("apart", "contradicts", "contradictions", "contradicting_block", "bent_apart", "one_sided_low"),
    *("peak_low", "mass_low", "largest_low", "colour_99"),
)
#: Of the trees: how many, how fast they learn, leaves of each, pairs of a leaf at least, and their shrinking.
TREES, RATE, LEAVES, LEAST, SHRINK = 300, 0.06, 12, 20, 1.0
#: Parts of the families for judging: each is judged by a model of the others.
FOLDS = 6
#: What edits of photographs weigh of all true pairs.
EDITS_SHARE = 0.5
#: Decimals that are written, but of thresholds, which data may lie next to.
_DECIMALS = 6

Values = NDArray[np.float64]


class Table:
    """Samples as arrays: inputs float64 (n, len(INPUTS)), truth bool (n,), family (n,), level (n,)."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        rows = list(_rows(samples))
        self.inputs = np.array([row[0] for row in rows], np.float64)
        self.truth = np.array([row[1] for row in rows], np.bool_)
        self.family = np.array([row[2] for row in rows])
        self.level = np.array([row[3] for row in rows])

    def folds(self) -> NDArray[np.int64]:
        """Which part each belongs to: whole families of look-alikes, edits by pairs."""
        names = {name: place % FOLDS for place, name in enumerate(sorted(set(self.family.tolist())))}
        found = np.array([names[name] for name in self.family.tolist()])
        edits = np.flatnonzero(self.family == "edits")
        # Both levels of one pair stand together.
        found[edits] = np.arange(len(edits)) // 2 % FOLDS
        return found

    def weights(self) -> Values:
        """So that true and wrong pairs count alike, and so does each family of look-alikes."""
        found = np.ones(len(self.truth))
        for truth in (False, True):
            families = sorted(set(self.family[self.truth == truth].tolist()))
            for name in families:
                own = (self.family == name) & (self.truth == truth)
                share = (
                    EDITS_SHARE
                    if truth and name == "edits"
                    else (1 - EDITS_SHARE if truth else 1.0) / max(1, len(families) - truth)
                )
                found[own] = share / np.count_nonzero(own)
        return np.asarray(found / found.mean())


def _rows(samples: Sequence[Sample]) -> Iterator[tuple[Any, bool, str, int]]:
    for sample in samples:
        for level, inputs in enumerate((sample.first, sample.second)):
            if inputs is not None:
                yield inputs, sample.same, sample.family, level


def classifier() -> HistGradientBoostingClassifier:
    """Of the model, not fitted."""
    directions = [1 if name in RISING else -1 if name in FALLING else 0 for name in INPUTS]
    return HistGradientBoostingClassifier(
        max_iter=TREES,
        learning_rate=RATE,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=LEAST,
        l2_regularization=SHRINK,
        monotonic_cst=directions,
        early_stopping=False,
        random_state=0,
    )


def held_out_odds(table: Table) -> Values:
    """Logarithm of the odds of each pair by a model that saw none of its family, (n,)."""
    odds, fold, weights = np.zeros(len(table.truth)), table.folds(), table.weights()
    for number in range(FOLDS):
        own = fold == number
        model = classifier().fit(table.inputs[~own], table.truth[~own], weights[~own])
        odds[own] = model.decision_function(table.inputs[own])
    return odds


def numbers_of(model: HistGradientBoostingClassifier, slope: float, offset: float) -> dict[str, Any]:
    """The model as plain numbers, as :class:`modules.matching.confidence.Model` reads them."""
    trees = [stage[0].nodes for stage in model._predictors]
    starts = np.cumsum([0, *map(len, trees)])
    found: dict[str, Any] = {"inputs": INPUTS, "slope": round(slope, _DECIMALS)}
    found["offset"] = round(offset + slope * float(model._baseline_prediction.ravel()[0]), _DECIMALS)
    found["roots"] = starts[:-1].tolist()
    columns: dict[str, list[Any]] = {
        name: [] for name in ("feature", "threshold", "missing_left", "left", "right", "value")
    }
    for start, nodes in zip(starts.tolist(), trees, strict=False):
        for node in nodes:
            leaf = bool(node["is_leaf"])
            columns["feature"].append(0 if leaf else int(node["feature_idx"]))
            columns["threshold"].append(0.0 if leaf else float(node["num_threshold"]))
            columns["missing_left"].append(int(not leaf and bool(node["missing_go_to_left"])))
            columns["left"].append(-1 if leaf else start + int(node["left"]))
            columns["right"].append(-1 if leaf else start + int(node["right"]))
            columns["value"].append(round(float(node["value"]), _DECIMALS) if leaf else 0.0)
    return found | columns


def judged(table: Table, probability: Values) -> Iterator[str]:
    """Wrong pairs that pass and true pairs that do not, by family, at each cut-off; then how calibrated it is."""
    for level, name in enumerate(("thumbnails", "pictures")):
        own = table.level == level
        yield f"by {name}:"
        for family in sorted(set(table.family.tolist())):
            rows = own & (table.family == family)
            cells = []
            for least in (0.5, SURE, 0.95):
                passed = rows & (probability >= least)
                wrong, right = np.count_nonzero(passed & ~table.truth), np.count_nonzero(passed & table.truth)
                cells.append(
                    f"{wrong}/{np.count_nonzero(rows & ~table.truth)} {right}/{np.count_nonzero(rows & table.truth)}"
                )
            yield f"  {family:14} wrong, right: " + "; ".join(cells)
    edges = [0.0, 0.02, 0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.995, 1.0001]
    for low, high in itertools.pairwise(edges):
        rows = (probability >= low) & (probability < high)
        if rows.any():
            share, count = np.mean(table.truth[rows]), np.count_nonzero(rows)
            yield f"  {low:.3f} to {high:.3f}: {count:6} pairs, {share:.3f} the same"


def main() -> None:
    """Command line."""
    asked = _options()
    asked.folder.mkdir(parents=True, exist_ok=True)
    path = asked.folder / f"pairs-{asked.seed}-{asked.tasks}.pickle"
    if not path.exists():
        samples = list(make_samples(asked.seed, asked.tasks, asked.processes))
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(pickle.dumps(samples))
        unfinished.rename(path)
    table = Table(pickle.loads(path.read_bytes()))
    weights = table.weights()
    odds = held_out_odds(table)
    platt = LogisticRegression(C=1e6).fit(odds[:, None], table.truth, weights)
    slope, offset = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    print("\n".join(judged(table, 1 / (1 + np.exp(-(slope * odds + offset))))))
    model = classifier().fit(table.inputs, table.truth, weights)
    FILE.write_text(json.dumps(numbers_of(model, slope, offset), separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{len(table.truth)} rows of evidence; slope {slope:.3f}, offset {offset:.3f}; written: {FILE.name}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="keeps the pairs that were made")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--tasks", type=int, default=2600, metavar="N", help="some three to six pairs each")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    main()
