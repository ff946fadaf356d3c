"""How many copies are found, how few pictures are joined wrongly, which copy is kept, and how fast.

    python -m benchmarks.quality [PHOTOS] [--half a|b] [--photos N] [--edits N] [--effort fast,balanced,thorough]
                                 [--features NAME,... [--features NAME,...]] [--weights NAME=FILE]
                                 [--strictness lenient|normal|strict] [--peers VENV] [--blanks N] [--seed N]
                                 [--neutral] [--keep FOLDER] [--without-held-out] [--write-baseline FILE]
                                 [--against FILE]
    python -m benchmarks.quality --lookalikes FOLDER [--lookalikes FOLDER] [--effort ...] [--strictness ...] ...

Makes a set of pictures of PHOTOS (a folder; without it a self-made one): originals, copies of them by the named edits
of ``tests/edits.py`` and exact copies, and hard negatives. Runs ``main.py`` on it, and the peers that are installed in
the environment VENV (``python -m venv VENV && VENV/bin/pip install -r benchmarks/peers.txt``), and holds what they
report against the truth. To tune, take one half of the photographs; to report, the other one.

``--write-baseline`` keeps the figures in a file; ``--against`` ends with 1, and a line for each, where figures are
worse than in such a file: outside of their 95 % interval there, on the worse side.

With ``--lookalikes`` it runs ``main.py`` on folders of pictures that merely resemble each other (made by
``python -m benchmarks.lookalikes``, or real ones with a ``truth.csv``) instead, and counts by family what was set aside
for a picture that it is not. A run that shows figures of families held out is noted in ``benchmarks/held_out.toml``.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import tempfile
from pathlib import Path

from benchmarks.held_out import held_out
from benchmarks.lookalikes.make import TRUTH, load_truth
from benchmarks.quality.baseline import Baseline, Conditions, figures_of
from benchmarks.quality.build import Wanted, build
from benchmarks.quality.contenders import Answer, ask_ours, ask_peer, installed_peers, report_of
from benchmarks.quality.lookalikes import note_run, table, tally
from benchmarks.quality.page import page
from benchmarks.quality.photographs import find_photographs, make_photographs
from benchmarks.quality.score import score
from benchmarks.quality.truth import Row
from modules.features.catalogue import DESCRIPTOR

#: Of the photographs that are not named by --photos: what gets copies; the rest goes into hard negatives.
SHARE = 0.6


def main() -> None:
    """Command line."""
    asked = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch) / "quality"
        if asked.lookalikes:
            _lookalikes(asked, folder)
            return
        photos = asked.folder
        if photos is None:
            photos = Path(scratch) / "photographs"
            make_photographs(photos)
        rows = _build(asked, photos, folder)
        print(f"python -m benchmarks.quality {' '.join(sys.argv[1:])}")
        machine = f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}"
        print(f"{machine}; {os.getloadavg()[0]:.1f} other processes at work")
        originals = sum(row.is_original for row in rows)
        copies = sum(row.is_copy for row in rows)
        negatives = len(rows) - originals - copies
        print(f"{len(rows):,} pictures: {originals} originals, {copies:,} copies, {negatives:,} hard negatives\n")
        conditions = {**_conditions(asked), "pictures": [originals, copies, negatives]}
        baseline = _baseline(asked, conditions)
        judged = [(answer, score(rows, answer.groups, answer.best)) for answer in _answers(asked, folder)]
        print("\n".join(page(judged, len(rows))))
        figures = [figure for answer, found in judged for figure in figures_of(answer.name, found)]
        if asked.write_baseline is not None:
            Baseline(conditions, figures).save(asked.write_baseline)
        complaints = [] if baseline is None else list(baseline.complaints(figures))
    if complaints:
        sys.exit("\n".join(complaints))


def _conditions(asked: argparse.Namespace) -> dict[str, object]:
    """The options that say what is measured."""
    named = "half", "photos", "edits", "negatives", "blanks", "effort", "features", "seed", "without_held_out"
    # Baselines of before there was such an option are of the default.
    strictness = {} if asked.strictness is None else {"strictness": asked.strictness}
    return {"self_made": asked.folder is None, **{name: getattr(asked, name) for name in named}, **strictness}


def _baseline(asked: argparse.Namespace, conditions: Conditions) -> Baseline | None:
    """What to compare with, None for nothing: looked at before anything takes long."""
    if asked.against is None:
        return None
    try:
        baseline = Baseline.load(asked.against)
        baseline.refuse_other(conditions)
    except (OSError, ValueError) as error:
        sys.exit(f"--against {asked.against}: {error}")
    return baseline


def _build(asked: argparse.Namespace, photos: Path, folder: Path) -> list[Row]:
    found = find_photographs(photos, asked.half, asked.seed)
    count = asked.photos if asked.photos is not None else int(SHARE * len(found))
    without = held_out("edits") if asked.without_held_out else frozenset[str]()
    try:
        wanted = Wanted(count, asked.edits, asked.negatives, asked.blanks, without, asked.neutral)
        return build(folder, found, wanted, asked.seed)
    except ValueError as error:
        sys.exit(f"{photos}: {error}")


def _answers(asked: argparse.Namespace, folder: Path) -> list[Answer]:
    images = folder / "images"
    answers = []
    for effort in asked.effort:
        for features in asked.features or [None]:
            name = f"{effort}, {features}" if features else effort
            options = _run_options(asked, effort, features)
            answers += ask_ours(images, folder / name.replace("/", "-"), name, options)
    if asked.peers is not None:
        methods = installed_peers(asked.peers)
        answers += [ask_peer(images, asked.peers, method, folder / f"{method}.csv") for method in methods]
    return answers


def _run_options(asked: argparse.Namespace, effort: str, features: str | None) -> list[str]:
    options = ["--effort", effort, "--features", features or DESCRIPTOR]
    if asked.strictness is not None:
        options += ["--strictness", asked.strictness]
    return options + [part for one in asked.weights for part in ("--weights", one)]


def _lookalikes(asked: argparse.Namespace, scratch: Path) -> None:
    """Run on each folder with each effort and features, and print what was set aside wrongly."""
    for number, folder in enumerate(asked.lookalikes):
        entries = load_truth(folder)
        for effort in asked.effort:
            for features in asked.features or [None]:
                options = _run_options(asked, effort, features)
                output = scratch / f"lookalikes-{number}-{effort}-{(features or '').replace('/', '-')}"
                tallies = tally(entries, report_of(folder, output, options))
                print(f"{folder.name}, main.py run {shlex.join(options)}\n")
                print("\n".join([*table(tallies), ""]))
                command = shlex.join(["python", "-m", "benchmarks.quality", "--lookalikes", folder.name, *options])
                if note_run(folder, tallies, command):
                    print("noted in benchmarks/held_out.toml\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="PHOTOS", help="a folder of photographs, all different")
    parser.add_argument("--half", choices=("a", "b"), help="every other photograph (default: all)")
    parser.add_argument("--photos", type=int, metavar="N", help="photographs that get copies (default: 60 %% of them)")
    parser.add_argument("--edits", type=int, default=8, metavar="N", help="edits of each (default: 8)")
    parser.add_argument("--negatives", type=int, default=12, metavar="N", help="hard negatives a family (default: 12)")
    parser.add_argument("--blanks", type=int, default=1000, metavar="N", help="blank pictures (default: 1000)")
    parser.add_argument("--effort", type=lambda names: names.split(","), default=["fast", "balanced", "thorough"])
    parser.add_argument(
        "--features",
        action="append",
        metavar="NAME,...",
        help="as for main.py run; may repeat, to compare (default: descriptor)",
    )
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE", help="as for main.py run")
    parser.add_argument("--strictness", choices=("lenient", "normal", "strict"), help="as for main.py run")
    parser.add_argument(
        "--lookalikes", action="append", default=[], type=Path, metavar="FOLDER", help="with a truth.csv; may repeat"
    )
    parser.add_argument("--peers", type=Path, metavar="VENV", help="environment with the packages of peers.txt")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--neutral", action="store_true", help="no metadata, no exact copies, names by chance")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave pictures, truth.csv and reports there")
    parser.add_argument("--without-held-out", action="store_true", help="none of the edits that held_out.toml names")
    parser.add_argument("--write-baseline", type=Path, metavar="FILE", help="keep the figures there")
    parser.add_argument("--against", type=Path, metavar="FILE", help="end with 1 where figures are worse than there")
    asked = parser.parse_args()
    if asked.peers is not None and not (asked.peers / "bin/python").exists():
        parser.error(f"--peers {asked.peers}: there is no bin/python in it; name an environment made by python -m venv")
    for folder in asked.lookalikes:
        if not (folder / TRUTH).exists():
            parser.error(f"--lookalikes {folder}: there is no {TRUTH} in it")
    if asked.keep is not None and asked.keep.exists():
        parser.error(f"--keep {asked.keep} is there already: name a folder that is not, or remove it")
    return asked


if __name__ == "__main__":
    main()
