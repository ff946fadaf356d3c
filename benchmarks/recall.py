"""How many known copies are found, how many joined pairs are right, and how often the original scores best.

    recall.py make PHOTOS FOLDER [--photos N] [--edits NAME,NAME] [--copies N]
    recall.py score FOLDER REPORT

``make`` fills FOLDER/images with photographs, edits of them and exact copies, and writes FOLDER/truth.csv (name, group,
level, transform; a group's original is named GROUP.jpg). ``score`` reads an image_report.csv of FOLDER/images.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from collections import defaultdict
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.quality.build import PLAIN, as_jpeg
from tests.edits import EDITS

COLUMNS = ("name", "group", "level", "transform")


def make(photos: Path, folder: Path, count: int, names: list[str], copies: int) -> None:
    """Write pictures and truth. A photograph that is not a JPEG is saved as one, so that GROUP.jpg is true."""
    images = folder / "images"
    images.mkdir(parents=True)
    sources = sorted(path for path in photos.iterdir() if path.suffix.lower() in (*PLAIN, ".png"))[:count]
    with (folder / "truth.csv").open("w", newline="") as file:
        truth = csv.writer(file)
        truth.writerow(COLUMNS)
        for seed, source in enumerate(sources):
            group = f"photo{seed:04d}"
            original = images / f"{group}.jpg"
            as_jpeg(source, original)
            truth.writerow((original.name, group, "original", "original"))
            if seed < copies:
                shutil.copyfile(original, images / f"{group}_exact.jpg")
                truth.writerow((f"{group}_exact.jpg", group, "easy", "exact"))
            with Image.open(original) as picture:
                for name in names:
                    edit = EDITS[name]
                    path = images / f"{group}_{name}{edit.suffix}"
                    path.write_bytes(edit.apply(picture, seed))
                    truth.writerow((path.name, group, edit.level, name))


def score(folder: Path, report: Path) -> None:
    """Print recall of each edit, how often the original scores higher than it, and the precision of joined pairs.

    A picture that is not in the report is a group of its own.
    """
    with (folder / "truth.csv").open(newline="") as file:
        truth = {row["name"]: row for row in csv.DictReader(file)}
    with report.open(newline="", encoding="utf-8") as file:
        reported = {Path(row["Image Path"]).name: row for row in csv.DictReader(file)}
    found = {name: reported[name]["Group ID"] if name in reported else f"alone {name}" for name in truth}
    hits: dict[str, list[bool]] = defaultdict(list)
    kept: dict[str, list[bool]] = defaultdict(list)
    for name, row in truth.items():
        if row["level"] != "original":
            edit, original = f"{row['level']:9}{row['transform']}", f"{row['group']}.jpg"
            hits[edit].append(found[name] == found[original])
            if name in reported and original in reported:
                quality = [float(reported[one]["Quality Score"]) for one in (name, original)]
                kept[edit].append(quality[0] < quality[1])
    print(f"{'':24} {'found':>11}        {'original scores higher':>22}")
    for edit, outcomes in hits.items():
        share = f"{sum(outcomes):5}/{len(outcomes):<5} {sum(outcomes) / len(outcomes):.4f}"
        print(f"{edit:24} {share} {sum(kept[edit]):16}/{len(kept[edit])}")
    right, joined = precision({name: row["group"] for name, row in truth.items()}, found)
    print(f"joined pairs {joined}, right {right}, precision {right / max(1, joined):.5f}")


def precision(true: dict[str, str], found: dict[str, str]) -> tuple[int, int]:
    """Right and all pairs of pictures that share a found group; counted, not listed."""
    members: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for name, group in found.items():
        members[group][true[name]] += 1
    right = sum(n * (n - 1) // 2 for counts in members.values() for n in counts.values())
    sizes = [sum(counts.values()) for counts in members.values()]
    return right, sum(n * (n - 1) // 2 for n in sizes)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("photos", type=Path)
    making.add_argument("folder", type=Path)
    making.add_argument("--photos", dest="count", type=int, default=240)
    making.add_argument("--edits", default=",".join(EDITS))
    making.add_argument("--copies", type=int, default=60, help="photographs that get an exact copy")
    scoring = commands.add_parser("score")
    scoring.add_argument("folder", type=Path)
    scoring.add_argument("report", type=Path)
    asked = parser.parse_args()
    if asked.command == "make":
        make(asked.photos, asked.folder, asked.count, asked.edits.split(","), asked.copies)
    else:
        score(asked.folder, asked.report)


if __name__ == "__main__":
    main()
