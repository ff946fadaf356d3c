"""A folder of pictures that resemble each other and are not the same, with easy copies of a third of them.

    python -m benchmarks.lookalikes make FOLDER [--seed N] [--families NAME,...|tuning|held-out|all] [--scenes N]
                                    [--each N] [--photos PHOTOS]

Writes FOLDER/FAMILY/NNN.jpg or .png, copies of every third one with _jpeg70, _smaller (70 %) or _brighter (x 1.15)
in their names, and FOLDER/truth.csv: path, id, family, edit. Two pictures may be joined only where their id is equal.
``python -m benchmarks.quality --lookalikes FOLDER`` runs the job on it and counts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.lookalikes.make import ORIGINAL, find_photos, make, named


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["make"])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--families", default="tuning", metavar="NAME,...", help="or tuning, held-out, all")
    parser.add_argument("--scenes", type=int, default=6, metavar="N", help="of each family (default: 6)")
    parser.add_argument("--each", type=int, default=4, metavar="N", help="pictures of a scene (default: 4)")
    parser.add_argument("--photos", type=Path, help="a folder of photographs (default: those of installed packages)")
    asked = parser.parse_args()
    try:
        families, photos = named(asked.families), find_photos(asked.photos)
        entries = make(asked.folder, families, asked.seed, (asked.scenes, asked.each), photos)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    originals = sum(entry.edit == ORIGINAL for entry in entries)
    print(f"{len(entries):,} files in {asked.folder}: {originals:,} different pictures of {len(families)} families")


if __name__ == "__main__":
    main()
