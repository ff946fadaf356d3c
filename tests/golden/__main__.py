"""Makes the golden verdicts anew, and says what moved, by family.

    python -m tests.golden

Run it after a change of a rule or number that is meant, with a raised VERSION of ``modules/matching/verdicts.py``; what
it prints belongs into the change's description.
"""

from __future__ import annotations

import sys
from collections import Counter

import cv2

from modules.matching.verdicts import VERSION
from tests.golden.judge import FILE, Judge, changes, golden, load, save
from tests.golden.pairs import pairs
from tests.golden.steady import LEAST_MARGIN, margin


def main() -> None:
    """Command line."""
    cv2.setNumThreads(1)
    judge, rows, left_out = Judge(), {}, Counter[str]()
    for pair in pairs():
        verdict = judge.judge(pair)
        if margin(judge.evidence(pair.a, pair.effort), judge.evidence(pair.b, pair.effort), verdict) < LEAST_MARGIN:
            left_out[pair.family] += 1
        else:
            rows[pair.name] = golden(pair, verdict)
    before = load()[1] if FILE.exists() else {}
    save(list(rows.values()), VERSION)
    lines = list(changes(before, rows))
    sys.stdout.write("\n".join([*lines, "", f"{len(rows)} pairs in {FILE.name}, {sum(map(_is_pair, lines))} changed"]))
    sys.stdout.write(f"\n{left_out.total()} left out, within {LEAST_MARGIN} of a cut-off:")
    sys.stdout.write(" " + ", ".join(f"{family} {count}" for family, count in sorted(left_out.items())) + "\n")


def _is_pair(line: str) -> bool:
    return line.startswith("  ")


if __name__ == "__main__":
    main()
