"""Whether the streaming phase is flat: peak memory of a job's own process over collections of growing size.

    python -m benchmarks.streaming_memory [--sizes 1000,2000,4000]

Makes small pictures, runs the job on each collection in a process of its own, and samples its resident memory until
matching begins. Prints the peak of the first and of the last quarter of the streaming phase, for the job's process
and for its largest worker.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.azurite import ROOT
from tests.pictures import draw, encode

Sample = tuple[int, int]
INTERVAL = 0.1


def sample(process: psutil.Popen, done: threading.Event) -> list[Sample]:
    """Resident bytes of the job and of its largest worker, until ``done``."""
    samples = []
    while not done.wait(INTERVAL):
        try:
            workers = [child.memory_info().rss for child in process.children()]
            samples.append((process.memory_info().rss, max(workers, default=0)))
        except psutil.NoSuchProcess:
            continue
    return samples


def run(source: Path) -> list[Sample]:
    """Samples of a run's streaming phase."""
    process = psutil.Popen(
        [sys.executable, "main.py", "run", str(source), "--dry-run", "--features", "perceptual"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    streamed = threading.Event()
    found: list[Sample] = []
    sampler = threading.Thread(target=lambda: found.extend(sample(process, streamed)))
    sampler.start()
    assert process.stderr is not None
    for line in process.stderr:
        if "matching" in line:
            streamed.set()
    streamed.set()
    sampler.join()
    if process.wait() != 0:
        sys.exit(f"the job on {source} ended with {process.returncode}")
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,2000,4000")
    sizes = [int(size) for size in parser.parse_args().sizes.split(",")]
    print(f"{'pictures':>9} {'job, first quarter':>19} {'job, last quarter':>18} {'worker, last quarter':>21}")
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "pictures"
            source.mkdir()
            for seed in range(size):
                (source / f"{seed:06d}.jpg").write_bytes(encode(draw(seed, (160, 120))))
            samples = run(source)
        quarter = max(1, len(samples) // 4)
        first, last = samples[:quarter], samples[-quarter:]
        peaks = max(s[0] for s in first), max(s[0] for s in last), max(s[1] for s in last)
        print(f"{size:9} {peaks[0] / 1e6:16.0f} MB {peaks[1] / 1e6:15.0f} MB {peaks[2] / 1e6:18.0f} MB", flush=True)


if __name__ == "__main__":
    main()
