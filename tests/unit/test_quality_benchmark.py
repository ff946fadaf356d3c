"""The benchmark of quality: its truth is true, and its figures are those that a person would count."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.quality import drawn, negatives, peers, truth
from benchmarks.quality.build import EXACT, Wanted, build
from benchmarks.quality.contenders import Answer, Cost
from benchmarks.quality.page import LEVELS, page
from benchmarks.quality.photographs import find_photographs
from benchmarks.quality.score import PHOTOGRAPHS, Share, score
from benchmarks.quality.truth import ORIGINAL, Row
from tests.drawings import leaves
from tests.edits import EDITS
from tests.pictures import draw


def photographs(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    for number in range(count):
        draw(number).save(folder / f"{number:02d}.jpg", quality=92)
    return sorted(folder.iterdir())


def original(group: str) -> Row:
    return Row(f"{group}.jpg", group, ORIGINAL, ORIGINAL)


def copy(group: str, edit: str, level: str = "easy") -> Row:
    return Row(f"{group}_{edit}.jpg", group, level, edit)


def negative(name: str, family: str) -> Row:
    return Row(f"{name}.jpg", name, ORIGINAL, family)


@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"),
    [(0, 10, 0.0, 0.2775), (8, 10, 0.4902, 0.9433), (10, 10, 0.7225, 1.0), (0, 0, 0.0, 1.0)],
)
def test_intervals_are_those_of_wilson(hits: int, tries: int, low: float, high: float) -> None:
    assert Share(hits, tries).interval() == pytest.approx((low, high), abs=5e-5)


def test_copies_are_found_in_the_group_of_their_original_and_nowhere_else() -> None:
    rows = [original("a"), copy("a", "blur"), copy("a", "grey"), copy("a", "flip", "medium"), original("b")]
    found = score(rows, {"a.jpg": "1", "a_blur.jpg": "1", "a_grey.jpg": "2", "a_flip.jpg": "2", "b.jpg": "3"})
    shares = {edit: (share.hits, share.tries) for edit, share in found.edits.items()}
    assert shares == {("easy", "blur"): (1, 1), ("easy", "grey"): (0, 1), ("medium", "flip"): (0, 1)}
    assert (found.level("easy").hits, found.level("easy").tries) == (1, 2)
    assert (found.pairs.hits, found.pairs.tries, found.impure, found.absent) == (2, 2, 0, 0)


def test_wrong_pairs_are_counted_by_family() -> None:
    rows = [original("a"), copy("a", "blur"), negative("w1", "wall"), negative("w2", "wall"), negative("i1", "icon")]
    found = score(rows, dict.fromkeys([row.name for row in rows], "one"))
    assert (found.pairs.hits, found.pairs.tries, found.impure) == (1, 10, 1)
    assert found.wrong == {
        ("wall", "wall"): 1,
        ("icon", "wall"): 2,
        (PHOTOGRAPHS, "wall"): 4,
        ("icon", PHOTOGRAPHS): 2,
    }
    assert found.wrong_per_thousand == 9000


def test_a_family_round_one_photograph_is_a_copy_of_another_family_round_it() -> None:
    rows = [Row("logo.jpg", "p", ORIGINAL, "logo"), Row("emoji.jpg", "p", ORIGINAL, "emoji")]
    found = score(rows, {"logo.jpg": "1", "emoji.jpg": "1"})
    assert (found.pairs.hits, found.pairs.tries) == (1, 1)
    assert not found.edits
    assert not found.wrong


def test_what_was_not_answered_is_a_group_of_its_own() -> None:
    found = score([original("a"), copy("a", "blur"), copy("a", "grey")], {"a.jpg": "1"})
    assert (found.level("easy").hits, found.pairs.tries, found.absent) == (0, 0, 2)


def test_the_original_is_kept_or_what_was_kept_instead_is_told() -> None:
    rows = [original("a"), copy("a", "blur"), original("b"), copy("b", "grey"), original("c"), copy("c", "blur")]
    groups = {"a.jpg": "1", "a_blur.jpg": "1", "b.jpg": "2", "b_grey.jpg": "2", "c.jpg": "3", "c_blur.jpg": "4"}
    found = score(rows, groups, {"a.jpg", "b_grey.jpg", "c.jpg", "c_blur.jpg"})
    assert found.kept is not None
    assert (found.kept.hits, found.kept.tries) == (1, 2)  # of c no copy was found: nothing was to choose
    assert found.instead == {"grey": 1}


def test_a_thousand_blanks_in_one_group_are_half_a_million_wrong_pairs() -> None:
    rows = [negative(f"blank{number}", "blank") for number in range(1000)]
    found = score(rows, dict.fromkeys([row.name for row in rows], "one"))
    assert found.wrong == {("blank", "blank"): 499_500}
    assert found.wrong_per_thousand == 499_500_000
    assert found.without_blanks == 0


def test_the_page_has_a_row_for_each_contender_and_each_edit() -> None:
    rows = [original("a"), copy("a", "blur"), copy("a", "flip", "medium"), negative("w", "wall")]
    groups = {"a.jpg": "1", "a_blur.jpg": "1", "a_flip.jpg": "2", "w.jpg": "1"}
    ours = Answer("balanced", groups, frozenset({"a.jpg"}), Cost(5.0, 6.0), Cost(1.0, 2.0), pairs=8)
    peer = Answer("peer", {**groups, "w.jpg": "3"})
    lines = list(page([(answer, score(rows, answer.groups, answer.best)) for answer in (ours, peer)], len(rows)))
    cells = "1.000 | 0.000 | 1.000 | 1.000"
    assert lines[2] == f"| balanced | {cells} | 2,000.00 | 2,000.00 | 1.000 | 2.0 | 1 | 1 | 1000.0 ms |"
    assert lines[3] == f"| peer | {cells} | 0.00 | 0.00 |  |  |  |  |  |"
    assert "| easy | blur | 1/1 | 1/1 |" in lines
    assert "| medium | flip | 0/1 | 0/1 |" in lines
    assert "  wrong     photographs/wall 2" in lines


def test_there_are_at_least_35_edits_in_four_levels() -> None:
    assert len(EDITS) >= 35
    assert {edit.level for edit in EDITS.values()} == set(LEVELS)


def test_edits_are_all_different_and_the_same_every_time() -> None:
    picture = leaves(1, (240, 180))
    made = {name: edit.apply(picture, 7) for name, edit in EDITS.items()}
    assert len({sha256(data).digest() for data in made.values()}) == len(EDITS)
    assert all(EDITS[name].apply(picture, 7) == data for name, data in made.items())


def test_shuffling_moves_pixels_and_invents_none() -> None:
    picture = leaves(1, (240, 180))
    before = np.asarray(picture).reshape(-1, 3)
    for name in ("shuffled-pixels", "shuffled-blocks"):
        after = np.asarray(EDITS[name].draw(picture, random.Random(3))).reshape(-1, 3)
        assert (after != before).any(axis=1).mean() > 0.1
        assert np.array_equal(np.unique(after, axis=0), np.unique(before, axis=0))


def test_hard_negatives_of_every_family(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 8)
    rows = negatives.make_negatives(tmp_path / "images", photos, random.Random(1), per_family=3, blanks=40)
    textures = {f"drawn-{kind}" for kind in drawn.TEXTURES} | {f"photographed-{kind}" for kind in negatives.TEXTURES}
    families = {*negatives.AROUND, *negatives.DRAWN, *textures, "collage", "collage-part", "blank"}
    counts = Counter(row.transform for row in rows)
    assert set(counts) == families
    assert all(counts[family] == 3 for family in {*negatives.AROUND, *negatives.DRAWN})
    assert {path.name for path in (tmp_path / "images").iterdir()} == {row.name for row in rows}
    assert not any(row.is_copy or row.is_original for row in rows)


def test_hard_negatives_of_different_groups_never_show_the_same_pixels(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 8)
    rows = negatives.make_negatives(tmp_path / "images", photos, random.Random(1), per_family=3, blanks=1000)
    groups: dict[bytes, set[str]] = {}
    for row in rows:
        with Image.open(tmp_path / "images" / row.name) as picture:
            small = picture.convert("RGB").resize((64, 64), Image.Resampling.BOX)
            groups.setdefault(sha256(small.tobytes()).digest(), set()).add(row.group)
    assert [found for found in groups.values() if len(found) > 1] == []


def test_a_family_draws_the_same_round_each_photograph(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 4)
    negatives.make_negatives(tmp_path / "images", photos, random.Random(1), per_family=2, blanks=0)
    for family, box in (("frame", (8, 8, 592, 40)), ("screenshot", (0, 0, 680, 96)), ("caption", (8, 8, 190, 28))):
        both = [Image.open(tmp_path / "images" / f"neg_{family}_{number:04d}.jpg").crop(box) for number in (0, 1)]
        apart = np.abs(np.asarray(both[0], np.float32) - np.asarray(both[1], np.float32))
        assert apart.mean() < 3, family


def test_hard_negatives_need_photographs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="need 4 photographs, here are 3"):
        negatives.make_negatives(tmp_path / "images", photographs(tmp_path / "photos", 3), random.Random(1))


def test_a_set_deals_all_edits_evenly_and_its_truth_names_every_file(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 18)
    rows = build(tmp_path / "set", photos, Wanted(photos=14, edits=8, per_family=1, blanks=2), seed=5)
    assert truth.load(tmp_path / "set/truth.csv") == rows
    images = tmp_path / "set/images"
    assert {path.name for path in images.iterdir()} == {row.name for row in rows}
    dealt = Counter(row.transform for row in rows if row.is_copy)
    assert set(dealt) == {EXACT, *EDITS}
    assert max(dealt.values()) - min(dealt.values()) <= 1
    exact = next(row for row in rows if row.transform == EXACT)
    assert (images / exact.name).read_bytes() == (images / f"{exact.group}.jpg").read_bytes()


def test_a_set_that_cannot_be_made_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too few photographs, 5 for 2 originals"):
        build(tmp_path / "set", photographs(tmp_path / "photos", 5), Wanted(photos=2, edits=1), seed=0)


def test_halves_share_nothing_and_do_not_depend_on_the_seed(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 9)
    halves = {seed: {half: find_photographs(tmp_path / "photos", half, seed) for half in "ab"} for seed in (1, 2)}
    for half in "ab":
        assert set(halves[1][half]) == set(halves[2][half])
        assert halves[1][half] != halves[2][half]
    assert sorted(halves[1]["a"] + halves[1]["b"]) == photos


def test_pairs_of_peers_become_connected_components() -> None:
    found = peers.components(["a", "b", "c", "d", "e"], iter([("d", "c"), ("c", "a"), ("e", "e")]))
    assert found == {"a": "a", "b": "b", "c": "a", "d": "a", "e": "e"}


def test_peers_run_by_a_python_that_has_nothing_of_the_project(tmp_path: Path) -> None:
    command = [sys.executable, "-I", peers.__file__, "installed"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert set(ended.stdout.split()) <= set(peers.METHODS)


def test_a_set_for_speed_alone_has_no_hard_negatives(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 6)
    rows = build(tmp_path / "set", photos, Wanted(photos=2, edits=3, per_family=0, blanks=0), seed=5)
    assert len(rows) == 8
    assert all(row.is_original or row.is_copy for row in rows)


def test_a_neutral_set_tells_nothing_but_pixels(tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos", 20)
    told = Image.Exif()
    told[0x010F] = "Example"
    draw(0).save(photos[0], quality=92, exif=told, dpi=(300, 300), comment=b"a picture")
    rows = build(tmp_path / "set", photos, Wanted(6, 4, per_family=0, blanks=0, neutral=True), seed=5)
    assert {row.name for row in rows} == {path.name for path in (tmp_path / "set/images").iterdir()}
    assert all(Path(row.name).stem.isdecimal() for row in rows)
    original = next(row for row in rows if row.group == "photo0000" and row.is_original)
    with Image.open(tmp_path / "set/images" / original.name) as found, Image.open(photos[0]) as before:
        assert not {"exif", "dpi", "comment"} & set(found.info)
        assert np.array_equal(np.asarray(found), np.asarray(before))
    assert EXACT not in {row.transform for row in rows}
