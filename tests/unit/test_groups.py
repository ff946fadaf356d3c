"""Who stands for whom, where verdicts on a picture differ: compositions, and cuts of one picture."""

from __future__ import annotations

import numpy as np

from modules.matching import relations
from modules.matching.groups import assign
from modules.matching.relations import Verdicts
from modules.records import Kind, Margin
from tests.judged import COPY, ledger

ACCEPTED = (Kind.COPY, Kind.PART)


def part(margin: Margin, *, inner: float = 1.0, outer: float = 0.8) -> Verdicts:
    """The first picture is a part of the second one, which has ``margin`` beyond it."""
    found = relations.verdict(Kind.PART, cover_a=inner, cover_b=outer, agreement=1)
    found["margin_b"] = margin
    return found


def keepers(verdicts: dict[tuple[int, int], Verdicts], count: int, accepted: tuple[Kind, ...] = ACCEPTED) -> list[int]:
    """Best first they are the first, second, ... picture."""
    grouping = assign(np.arange(count, dtype=np.int32), ledger(count, verdicts), accepted)
    return [int(keeper) for keeper in grouping.keeper]


def test_words_on_a_white_band_do_not_make_a_picture_the_whole_of_its_copies() -> None:
    captioned = {(0, 1): COPY, (0, 2): part(Margin.GROUND), (1, 2): part(Margin.GROUND)}
    assert keepers(captioned, 3) == [0, 0, 2]
    # Of a photograph the same was cut away from both.
    cropped = {(0, 1): COPY, (0, 2): part(Margin.PICTURE), (1, 2): part(Margin.PICTURE)}
    assert keepers(cropped, 3) == [2, 2, 2]
    # Two crops that show different parts were cut from it.
    different = {(0, 2): part(Margin.GROUND), (1, 2): part(Margin.GROUND)}
    assert keepers(different, 3) == [2, 2, 2]


def test_many_copies_of_one_cut_say_that_the_rest_was_added() -> None:
    copies = {(a, b): COPY for a in range(3) for b in range(a + 1, 3)}
    pasted = {(inner, 3): part(Margin.PICTURE) for inner in range(3)}
    assert keepers(copies | pasted, 4) == [0, 0, 0, 3]
    # Who asks for compositions gets it as one, of the best copy.
    embedding = (*ACCEPTED, Kind.EMBEDDED)
    assert keepers(copies | pasted, 4, embedding) == [0, 0, 0, 0]
    grouping = assign(np.arange(4, dtype=np.int32), ledger(4, copies | pasted), embedding)
    assert [Kind(int(kind)) for kind in grouping.verdict["kind"]] == [Kind.NONE, Kind.COPY, Kind.COPY, Kind.EMBEDDED]
    # Where that larger picture was copied as well, it is a photograph, and three times a crop of it.
    assert keepers(copies | pasted | {(3, 4): COPY}, 5) == [3, 3, 3, 3, 3]
    # Three crops that each show something else were cut from it.
    assert keepers(pasted, 4) == [3, 3, 3, 3]


def test_nothing_stands_for_a_collage_that_nobody_saw_as_one() -> None:
    copies = {(a, b): COPY for members in ((0, 1, 2), (3, 4)) for a in members for b in members if a < b}
    parts = {(inner, 5): part(Margin.PICTURE) for inner in range(5)}
    assert keepers(copies | parts, 6, (*ACCEPTED, Kind.EMBEDDED)) == [0, 0, 0, 3, 3, 5]
    # One that was seen as a collage from one of its pictures is one for all of them.
    collage = relations.verdict(Kind.COLLAGE, cover_a=1, cover_b=0.3, agreement=1)
    seen = {(inner, 3): part(Margin.PICTURE) for inner in range(3)} | {(3, 4): relations.orient(collage)}
    same = {pair: COPY for pair in ((0, 1), (0, 2), (1, 2), (0, 4))}
    assert keepers(same | seen, 5, (*ACCEPTED, Kind.EMBEDDED)) == [0, 0, 0, 3, 0]


def test_small_pictures_of_one_cut_are_no_sign_that_the_rest_was_added() -> None:
    """A site has its teaser in four sizes beside the photograph."""
    sizes = {(a, b): COPY for a in range(4) for b in range(a + 1, 4)}
    cuts = {}
    for inner in range(4):
        cuts[inner, 4] = part(Margin.PICTURE)
        cuts[inner, 4]["scale"] = 2 + inner
    for accepted in (ACCEPTED, (*ACCEPTED, Kind.EMBEDDED)):
        assert keepers(sizes | cuts, 5, accepted) == [4, 4, 4, 4, 4]


def test_of_two_that_were_both_cut_neither_is_the_whole() -> None:
    assert keepers({(0, 1): part(Margin.PICTURE, inner=0.93, outer=0.88)}, 2) == [0, 1]
    assert keepers({(0, 1): part(Margin.PICTURE, inner=0.98, outer=0.88)}, 2) == [1, 1]
