"""Golden verdicts: none changes unseen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from modules.matching import covering, verdicts
from modules.matching.relations import verdict
from modules.records import Grade, Kind
from tests.golden.judge import COMMAND, Golden, Judge, changes, golden, load
from tests.golden.pairs import Pair, pairs
from tests.golden.steady import LEAST_MARGIN, margin

SIDE = ("x", lambda: b"")


def one(name: str, family: str = "f", kind: Kind = Kind.COPY, agreement: float = 0.9) -> Golden:
    pair = Pair(family, (name, SIDE[1]), SIDE)
    return golden(pair, verdict(kind, agreement=agreement, cover_a=1, cover_b=1, grade=Grade.NORMAL))


def test_no_verdict_changes_unseen() -> None:
    version, before = load()
    assert version == verdicts.VERSION, (
        f"verdicts.csv is of matcher version {version}: run {COMMAND}, note what it says"
    )
    judge = Judge()
    after = {pair.name: golden(pair, judge.judge(pair)) for pair in pairs() if pair.name in before}
    lines = list(changes(before, after))
    assert not lines, "\n".join(
        [f"verdicts changed; if that is meant, raise VERSION of modules/matching/verdicts.py and run {COMMAND}", *lines]
    )


def test_the_golden_pairs_are_of_all_relations_and_many_families() -> None:
    _, rows = load()
    names = [pair.name for pair in pairs()]
    assert len(names) == len(set(names))
    assert set(rows) <= set(names)
    assert len(rows) >= 450
    assert {row.kind for row in rows.values()} >= {"copy", "part", "embedded", "collage", "related", "none"}
    assert {row.grade for row in rows.values()} == {"none", "lenient", "normal", "strict"}
    assert len({row.family for row in rows.values()}) >= 40
    assert any(row.mirrored for row in rows.values())


def test_changes_are_told_by_family_with_both_verdicts() -> None:
    before = {row.pair: row for row in (one("a"), one("b", "g"), one("c"), one("d"))}
    after = {row.pair: row for row in (one("a", kind=Kind.PART), one("b", "g", Kind.NONE), one("c", agreement=0.91))}
    after["new"] = replace(one("e", "g"), pair="new")
    assert list(changes(before, after)) == [
        "f: 2",
        "  a | x | balanced: copy normal 0.90 of 1.00, 1.00 -> part normal 0.90 of 1.00, 1.00",
        "  d | x | balanced: copy normal 0.90 of 1.00, 1.00 -> not there",
        "g: 2",
        "  b | x | balanced: copy normal 0.90 of 1.00, 1.00 -> none",
        "  new: not there -> copy normal 0.90 of 1.00, 1.00",
    ]


def test_a_share_that_moves_further_than_processors_differ_is_a_change() -> None:
    assert one("a").same_as(one("a", agreement=0.92))
    assert not one("a").same_as(one("a", agreement=0.93))
    assert not one("a").same_as(replace(one("a"), mirrored=True))
    assert not one("a").same_as(replace(one("a"), cover_b=0.9))


def test_a_pair_near_a_cut_off_has_no_margin_and_cut_offs_stay_where_they_were() -> None:
    pair = next(pair for pair in pairs() if pair.name in load()[1] and load()[1][pair.name].grade == "strict")
    judge = Judge()
    a, b = judge.evidence(pair.a, pair.effort), judge.evidence(pair.b, pair.effort)
    found = judge.judge(pair)
    before = dict(verdicts.LIMITS), dict(verdicts.SCATTERED), covering._BLOCK
    assert margin(a, b, found) == LEAST_MARGIN
    lower = np.array(found)
    lower["grade"] = Grade.NORMAL
    assert margin(a, b, lower) == 0
    assert (dict(verdicts.LIMITS), dict(verdicts.SCATTERED), covering._BLOCK) == before
