"""How much of the machine's cores a whole job with models turns into results.

    python -m benchmarks.throughput FOLDER [--images 1440] [--devices auto]

Measures the parts of the work alone, each in a process of its own with one thread: looking at a picture (decoding it,
facts, keypoints, models' inputs), ViT-B/32, EfficientNet-B0, and comparing pairs that the job compared (reading their
keypoints from the scratch file is part of it, as it is in the job's own processes). Runs a job with
the features ``clip,efficientnet`` on the folder's pictures, and on seeded crops of them until there are --images of
them, by the command line, and prints

    ratio = images per second x CPU seconds per image of the parts / cores

A ratio of 1 were a job that wastes no core for a moment and does nothing beside these parts: no start, listing,
hashing, saving, publishing. Weights are seeded: the work is the same as with trained ones. What other processes take
of the machine meanwhile lowers the ratio; it is told beside it.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from modules.devices import Device, choose_devices
from modules.feature_extraction import Analyser, init_worker
from modules.features.base import Extractor
from modules.features.registry import resolve
from modules.hardware import MODEL_MEMORY, find_hardware, keep_freed_memory, tune_environment
from modules.records import Analysis, UInt8Array
from modules.settings import cores
from modules.stages.pair_work import Pairs
from modules.stages.verify import verify_task
from modules.state.keypoint_file import KeypointFile
from modules.state.schemas import shas_of, verdicts_of
from modules.worker_pool import WorkerPool
from tests.weights import save_clip, save_timm

ROOT = Path(__file__).resolve().parent.parent
FEATURES = ("clip", "efficientnet")
#: Pictures and batches that a part is measured on, and pairs: so many of them that followed each other in the job.
SAMPLE, BATCHES, RUNS, RUN_PAIRS = 120, 6, 6, 1024
TIMEOUT = 600.0


@dataclass(frozen=True, slots=True)
class Job:
    """One job. seconds: by the clock; cpu: of all its processes; others: CPU seconds of the machine's other work."""

    seconds: float
    cpu: float
    others: float


def cpu_per_item(work: Callable[[], int]) -> float:
    """CPU seconds that this process spends on each of the items that ``work`` says it did."""
    before = time.process_time()
    items = work()
    return (time.process_time() - before) / items


def time_analysis(extractors: Sequence[Extractor], files: Sequence[Path]) -> float:
    """In a process of its own: CPU seconds a picture, of everything that a decode worker does to it."""
    analyser = Analyser(tuple(extractors), 10**9)
    data = [file.read_bytes() for file in files]
    look(analyser, data[0])  # what is made at first use is no work of a picture
    return cpu_per_item(lambda: len([look(analyser, one) for one in data]))


def look(analyser: Analyser, data: bytes) -> Analysis:
    """Everything of one picture."""
    names = frozenset(extractor.name for extractor in analyser.extractors)
    return analyser.analyse(data, facts=True, keypoints=True, extractors=names)


def time_extractor(extractor: Extractor, device: Device, files: Sequence[Path]) -> float:
    """In a process of its own: CPU seconds a picture, in full batches on one thread."""
    import torch

    torch.set_num_threads(1)
    keep_freed_memory(MODEL_MEMORY)
    analyser = Analyser((extractor,), 10**9)
    inputs = [
        analyser.analyse(file.read_bytes(), facts=False, keypoints=False, extractors=frozenset([extractor.name]))
        for file in files[: device.batch_size]
    ]
    batch = np.stack([one.pixels[extractor.name] for one in inputs])
    extractor.setup(device)
    extractor.embed(batch)
    return cpu_per_item(lambda: sum(len(extractor.embed(batch)) for _ in range(BATCHES)))


def time_pairs(file: KeypointFile, runs: Sequence[Pairs], sizes: Pairs) -> float:
    """In a process of its own: CPU seconds a pair. sizes: (width, height) of every picture by its number, (n, 2)."""
    verify_task(file, runs[0][:10], sizes[runs[0][:10]])
    return cpu_per_item(lambda: sum(len(verify_task(file, pairs, sizes[pairs])) for pairs in runs))


def alone(function: Callable[..., float], *args: object) -> float:
    """``function(*args)`` in a new process that is set up as a decode worker."""
    with WorkerPool(1, init_worker) as pool:
        return float(pool.run(function, *args, timeout=TIMEOUT))


def fill(folder: Path, photos: Path, count: int) -> list[Path]:
    """The photos, and seeded crops of them, until there are ``count``: all different, and much like a collection."""
    originals = sorted(path for path in photos.rglob("*") if path.is_file())
    chosen = random.Random(0)
    for n in range(count):
        original, path = originals[n % len(originals)], folder / f"{n:06d}.jpg"
        if n < len(originals):
            shutil.copyfile(original, path)
            continue
        with Image.open(original) as picture:
            (width, height), share = picture.size, chosen.uniform(0.6, 0.9)
            left, top = chosen.uniform(0, 1 - share), chosen.uniform(0, 1 - share)
            box = [round(at) for at in (left * width, top * height, (left + share) * width, (top + share) * height)]
            picture.convert("RGB").crop((box[0], box[1], box[2], box[3])).save(path, quality=90)
    return sorted(folder.iterdir())


def run_job(source: Path, output: Path, weights: Sequence[str], devices: str) -> Job:
    """The whole job by the command line, from the start of the process to its end."""
    command = [sys.executable, "main.py", "run", str(source), "--output", str(output), "--devices", devices]
    command += ["--features", ",".join(FEATURES)] + [part for one in weights for part in ("--weights", one)]
    idle, cpu, began = idle_seconds(), children_seconds(), time.monotonic()
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    seconds = time.monotonic() - began
    if ended.returncode != 0:
        sys.exit(f"the job ended with {ended.returncode}: {ended.stderr[-2000:]}")
    used = children_seconds() - cpu
    others = seconds * cores() - used - (idle_seconds() - idle)
    return Job(seconds, used, max(0.0, others))


def shards(output: Path, family: str) -> list[pa.Table]:
    """A family's shards in the state of a job, in the order in which they were written."""
    found = sorted(path for path in output.rglob("*.parquet") if family in path.parts)
    return [parquet.read_table(path) for path in found]


def judged(output: Path, scratch: Path) -> tuple[int, KeypointFile, list[Pairs], Pairs]:
    """What the job compared: how many pairs, a file of the keypoints of runs of them, these runs, and all sizes."""
    facts = pa.concat_tables(shards(output, "facts"))
    numbers = {sha.tobytes(): number for number, sha in enumerate(shas_of(facts))}

    def indices(shas: UInt8Array) -> NDArray[np.int32]:
        return np.array([numbers[sha.tobytes()] for sha in shas], np.int32)

    found = [verdicts_of(table)[:2] for table in shards(output, "verdicts")]
    pairs = np.concatenate([np.stack([indices(a), indices(b)], axis=1) for a, b in found])
    starts = range(0, max(1, len(pairs) - RUN_PAIRS), RUN_PAIRS)
    runs = [pairs[start : start + RUN_PAIRS] for start in random.Random(0).sample(starts, min(RUNS, len(starts)))]
    wanted = np.zeros(len(numbers), np.bool_)
    wanted[np.concatenate(runs)] = True
    file = KeypointFile.build(scratch / "keypoints.bin", shards(output, "keypoints"), indices, wanted)
    sizes = np.stack([facts.column(name).to_numpy() for name in ("width", "height")], axis=1)
    return len(pairs), file, runs, sizes


def children_seconds() -> float:
    """CPU seconds of ended child processes and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def idle_seconds() -> float:
    """Seconds that the machine's processors had nothing to do, summed over them."""
    return psutil.cpu_times().idle


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="photos")
    parser.add_argument("--images", type=int, default=1440)
    parser.add_argument("--devices", default="auto")
    options = parser.parse_args()
    tune_environment()  # as a job does: the parts shall not look dearer than they are there
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {"clip": folder / "clip.safetensors", "efficientnet": folder / "b0.safetensors"}
        save_clip(files["clip"], 1, "ViT-B-32")
        save_timm(files["efficientnet"], 2, "efficientnet_b0")
        weights = [f"{extractor}={file}" for extractor, file in files.items()]
        source = folder / "photos"
        source.mkdir()
        photos = fill(source, options.folder, options.images)
        parts = measure_parts(photos, weights)
        job = run_job(source, folder / "out", weights, options.devices)
        count, file, runs, sizes = judged(folder / "out", folder)
        each = alone(time_pairs, file, runs, sizes)
        print(f"{count:,} pairs were compared, {each * 1e3:.2f} ms of CPU each, alone")
        report({**parts, "compare its pairs": each * count / len(photos)}, job, len(photos))


def measure_parts(photos: Sequence[Path], weights: Sequence[str]) -> dict[str, float]:
    """CPU seconds a picture of each part of the streaming phase, alone."""
    extractors = resolve(FEATURES, weights)
    # What the job computes in, but one thread, which wastes nothing on waiting for others.
    (device,) = choose_devices(["cpu"], None, 1.0, 32, find_hardware(first=0))
    sample = random.Random(0).sample(list(photos), min(SAMPLE, len(photos)))
    parts = {"look at a picture": alone(time_analysis, extractors, sample)}
    for extractor in extractors:
        parts[f"embed it: {extractor.name}"] = alone(time_extractor, extractor, replace(device, threads=1), sample)
    return parts


def report(parts: dict[str, float], job: Job, images: int) -> None:
    """Print the parts, the job and the ratio."""
    for name, seconds in parts.items():
        print(f"{name:24} {seconds * 1e3:7.1f} ms of CPU a picture, alone")
    total = sum(parts.values())
    print(f"{'all parts':24} {total * 1e3:7.1f} ms")
    print(f"{'the job':24} {job.cpu / images * 1e3:7.1f} ms of CPU a picture, {images / job.seconds:.1f} pictures/s")
    ratio = images / job.seconds * total / cores()
    print(f"ratio {ratio:.3f} on {cores()} cores, of {images:,} pictures in {job.seconds:.1f} s")
    free = cores() - job.others / job.seconds
    taken = f"other processes took {job.others / job.seconds:.2f} cores meanwhile"
    print(f"{taken}; of what they left: {ratio * cores() / free:.3f}")


if __name__ == "__main__":
    main()
