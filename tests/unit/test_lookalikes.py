"""Look-alikes differ for certain, hang on their seed alone, and are counted as a person would count them."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
import tomllib
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from benchmarks.held_out import held_out
from benchmarks.lookalikes import FAMILIES, pair, pairs, pictures
from benchmarks.lookalikes.base import Setting, canvas, disc, grain, scene_of, text, unchanged, visibly_different
from benchmarks.lookalikes.make import MADE, ORIGINAL, Entry, load_truth, make, named
from benchmarks.quality.lookalikes import note_run, table, tally, total
from modules.records import UInt8Array
from tests.command import CLEAN, ROOT
from tests.drawings import leaves

PHOTOS = [leaves(seed, (500, 400)) for seed in range(6)]
SHOWN = ("Image Path", "Group ID", "Status", "Kept Witness")


@pytest.fixture(scope="module")
def scenes() -> dict[str, list[Image.Image]]:
    return {family: pictures(family, 5, 0, 3, PHOTOS) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_of_a_scene_have_one_size_and_all_differ(family: str, scenes: dict[str, list[Image.Image]]) -> None:
    assert len({picture.size for picture in scenes[family]}) == 1
    for one, other in combinations(scenes[family], 2):
        # Averaged over fields of 4 x 4 pixels, so that noise does not pass for a difference.
        fields = [band.reduce(4) for band in ImageChops.difference(one, other).split()]
        assert max(np.asarray(band).max() for band in fields) > 25


@pytest.mark.parametrize("family", FAMILIES)
def test_a_scene_hangs_on_its_seed_alone(family: str, scenes: dict[str, list[Image.Image]]) -> None:
    random.seed(1)
    again = FAMILIES[family](random.Random(f"{family} 5 0"), 3, PHOTOS)
    assert [one.tobytes() for one in again] == [one.tobytes() for one in scenes[family]]


def test_letters_are_those_of_the_call_whatever_was_written_before() -> None:
    def written(weight: int) -> bytes:
        page = canvas((200, 40))
        text(page, (4, 30), "Ab 12 你好", 24, weight=weight)
        return page.tobytes()

    light = written(400)
    assert written(800) != light
    assert written(400) == light


def test_pairs_are_made_in_any_order() -> None:
    listed = list(pairs("flags", 3, 4, ()))
    assert [one.tobytes() for one in pair("flags", 3, 2, ())] == [one.tobytes() for one in listed[2]]
    assert len({one.tobytes() for both in listed for one in both}) == 8


def test_a_family_of_photographs_needs_some() -> None:
    with pytest.raises(ValueError, match="give at least one"):
        pair("burst-moved", 0, 0, ())


def test_grain_is_no_difference_and_a_small_thing_is_one() -> None:
    plain = canvas((60, 40), (128, 128, 128))
    noisy = grain(random.Random(1), plain, 8)
    assert 7 < noisy.std() < 9
    assert not visibly_different(plain, noisy)
    dotted = plain.copy()
    disc(dotted, (20, 20), 3, (128, 190, 128))
    assert visibly_different(plain, dotted)


def test_what_only_transparency_shows_is_a_difference_and_what_it_hides_is_none() -> None:
    nothing, white, hidden = (np.zeros((20, 20, 4), np.uint8) for _ in range(3))
    white[5:15, 5:15] = 255
    hidden[5:15, 5:15, :3] = 255
    assert visibly_different(nothing, white)
    assert not visibly_different(nothing, hidden)


def test_a_scene_that_shows_too_little_says_so() -> None:
    def setup(rng: random.Random, photos: object) -> Setting:
        def draw(rng: random.Random) -> UInt8Array:
            return canvas((20, 20), rng.choice([(0, 0, 0), (255, 255, 255)]))

        return Setting(draw, unchanged)

    assert len(scene_of(setup)(random.Random(1), 2, ())) == 2
    with pytest.raises(ValueError, match="ask for fewer"):
        scene_of(setup)(random.Random(1), 3, ())


def test_the_families_held_out_are_families_and_no_others_are_for_tuning() -> None:
    away = held_out("lookalikes")
    assert away < set(FAMILIES)
    assert set(named("held-out")) == away
    assert set(named("tuning")) == set(FAMILIES) - away
    assert set(named("tuning,flags")) == set(named("tuning")) | {"flags"}
    with pytest.raises(ValueError, match="'flag'"):
        named("flag")


def test_a_folder_holds_what_its_truth_says(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    entries = make(folder, ["icons", "flags", "transparent", "expressions"], 2, (2, 4), PHOTOS)
    assert load_truth(folder) == entries
    files = {str(path.relative_to(folder)) for path in folder.rglob("*.*") if path.suffix in (".jpg", ".png")}
    assert files == {entry.path for entry in entries}
    assert Counter(entry.family for entry in entries if entry.edit == ORIGINAL) == dict.fromkeys(
        ("icons", "flags", "transparent", "expressions"), 8
    )
    originals = {entry.id: entry.path for entry in entries if entry.edit == ORIGINAL}
    assert len(originals) == 32
    copies = [entry for entry in entries if entry.edit != ORIGINAL]
    assert {entry.edit for entry in copies if entry.family == "expressions"} == {"jpeg70", "smaller", "brighter"}
    for copy in copies:
        with Image.open(folder / originals[copy.id]) as first, Image.open(folder / copy.path) as second:
            share = second.width / first.width
            assert share == pytest.approx(0.7 if copy.edit == "smaller" else 1, abs=0.01)
            small = [one.convert("L").resize((16, 16)) for one in (first, second)]
            assert np.corrcoef([np.asarray(one, float).ravel() for one in small])[0, 1] > 0.97 or copy.family == "icons"
    with pytest.raises(FileExistsError):
        make(folder, ["flags"], 2, (1, 2), ())


def reported(path: Path, rows: list[tuple[str, str, str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(SHOWN)
        writer.writerows((f"file:///any/where/{name}", group, status, kept) for name, group, status, kept in rows)
    return path


ENTRIES = [
    Entry("flags/000.png", "a", "flags", ORIGINAL),
    Entry("flags/000_jpeg70.jpg", "a", "flags", "jpeg70"),
    Entry("flags/001.png", "b", "flags", ORIGINAL),
    Entry("receipts/000.jpg", "c", "receipts", ORIGINAL),
    Entry("receipts/000_smaller.jpg", "c", "receipts", "smaller"),
    Entry("receipts/001.jpg", "d", "receipts", ORIGINAL),
]


def test_what_is_set_aside_for_another_picture_counts_and_only_that(tmp_path: Path) -> None:
    report = reported(
        tmp_path / "report.csv",
        [
            ("flags/000.png", "1", "Best", ""),
            ("flags/000_jpeg70.jpg", "1", "Duplicate", "file:///any/where/flags/000.png"),
            ("flags/001.png", "1", "Duplicate", "file:///any/where/flags/000_jpeg70.jpg"),
            ("receipts/000.jpg", "2", "Best", ""),
            ("receipts/000_smaller.jpg", "3", "Duplicate", "file:///any/where/flags/000.png"),
        ],
    )
    found = tally(ENTRIES, report)
    assert {name: (one.wrong.hits, one.wrong.tries) for name, one in found.items()} == {
        "flags": (1, 3),
        "receipts": (1, 2),
    }
    assert {name: (one.found.hits, one.found.tries) for name, one in found.items()} == {
        "flags": (1, 1),
        "receipts": (0, 1),
    }
    together = total(found)
    assert (together.wrong.hits, together.wrong.tries, together.found.hits) == (2, 5, 1)
    assert table(found)[2] == "| flags | 1 | 3 | 33.3% | 6.1% to 79.2% | 1 of 1 |"


def test_a_run_that_shows_families_held_out_is_noted_and_no_other(tmp_path: Path) -> None:
    log = tmp_path / "held_out.toml"
    log.write_text('lookalikes = ["flags"]\n', encoding="utf-8")
    report = reported(
        tmp_path / "report.csv", [("flags/000.png", "1", "Best", ""), ("receipts/000.jpg", "2", "Best", "")]
    )
    both, receipts = tally(ENTRIES, report), tally(ENTRIES[3:], report)
    assert not note_run(tmp_path, both, "real pictures", log)
    (tmp_path / MADE).write_text('{"seed": 7}', encoding="utf-8")
    assert not note_run(tmp_path, receipts, "nothing held out", log)
    assert "run" not in tomllib.loads(log.read_text(encoding="utf-8"))
    for command in ('a "quoted" \\ one', "another"):
        assert note_run(tmp_path, both, command, log)
    noted = tomllib.loads(log.read_text(encoding="utf-8"))
    assert [run["command"] for run in noted["run"]] == ['a "quoted" \\ one', "another"]
    assert noted["run"][0]["figures"] == "seed 7: flags 0 of 1 wrong; copies found 0 of 0"
    assert noted["run"][0]["commit"]
    assert noted["lookalikes"] == ["flags"]


def test_the_command_makes_a_folder_or_says_why_not(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.lookalikes", "make", str(tmp_path / "set"), "--scenes", "1"]
    command += ["--families", "icons"]
    made, again = (
        subprocess.run(
            [*command, "--families", "icons"], cwd=ROOT, env=CLEAN, capture_output=True, text=True, check=False
        )
        for _ in range(2)
    )
    assert made.returncode == 0, made.stderr
    assert "4 different pictures of 1 families" in made.stdout
    assert len(list((tmp_path / "set" / "icons").iterdir())) >= 4
    assert again.returncode != 0
    assert again.stderr.count("\n") == 1
