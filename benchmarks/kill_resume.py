"""Kills the job on Azurite again and again, and holds the end against an undisturbed run.

    python -m benchmarks.kill_resume IMAGES [--kills 10] [--seed 0]

IMAGES: a folder of pictures (``benchmarks/recall.py make`` makes one). They are uploaded to an Azurite of its
own; the job runs in processes of its own and is ended by SIGKILL at random requests while it streams, then once each
while it matches and publishes. Prints, per kill, the image GETs that the server counted and the rows committed, then
the bound and whether every published byte is equal.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.azurite import Azurite
from tests.killing import LOST_BY_A_KILL, Bench, CountingProxy, at

CONTAINER = "bench"


def measure(bench: Bench, distinct: int, kills: int, chance: random.Random, report: Path | None) -> bool:
    """Undisturbed run, then the killed ones; prints what is measured and tells whether all holds."""
    started = time.monotonic()
    code, errors = bench.run()
    gets = bench.proxy.since["image-get"]
    print(f"undisturbed: exit {code}, {gets} image GETs, {time.monotonic() - started:.0f} s", flush=True)
    if code not in (0, 3):
        print(errors)
        return False
    undisturbed = bench.published()
    if report is not None:
        report.write_bytes(undisturbed["set_deduplicated/image_report.csv"])
    bench.remove("set_deduplicated/")
    streaming = [at("image-get", chance.randrange(30, max(31, 2 * distinct // (kills + 1)))) for _ in range(kills)]
    stops = [*streaming, at("put-verdicts", 2), at("copy", chance.randrange(1, max(2, distinct // 2)))]
    total, grew, rows = 0, 0, 0
    for number, stop in enumerate(stops):
        code, _ = bench.run(stop)
        gets, committed = bench.proxy.since["image-get"], bench.committed_rows()
        total += gets
        grew += committed > rows
        rows = max(rows, committed)
        print(f"kill {number + 1}: exit {code}, {gets} image GETs, {committed} rows committed", flush=True)
    code, _ = bench.run()
    total += bench.proxy.since["image-get"]
    bound = distinct + len(stops) * LOST_BY_A_KILL
    equal = bench.published() == undisturbed
    print(
        f"end: exit {code}; image GETs {total}, bound {bound} for {distinct} different files; published equal: {equal}"
    )
    print(f"committed rows grew after {grew} of {len(stops)} kills")
    code, _ = bench.run()
    again = bench.proxy.since
    print(f"repeated: exit {code}, {again['image-get']} image GETs, {again['copy']} copies")
    return equal and total <= bound and bench.published() == undisturbed


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help="where to keep image_report.csv, for benchmarks/recall.py score")
    asked = parser.parse_args()
    files = {path.name: path.read_bytes() for path in sorted(asked.images.iterdir())}
    with Azurite() as azurite, CountingProxy(azurite.port) as proxy, TemporaryDirectory() as temporary:
        azurite.make_container(CONTAINER)
        bench = Bench(azurite, proxy, CONTAINER, Path(temporary))
        bench.upload(files)
        good = measure(bench, len(set(files.values())), asked.kills, random.Random(asked.seed), asked.report)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
