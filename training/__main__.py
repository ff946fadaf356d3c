"""Train the descriptor of copies.

    python -m training FOLDER [--device cuda] [--workers N] [--seed N]

FOLDER holds the made-up pictures, a log and a checkpoint: the same command, run again, goes on where it was. Ends with
FOLDER/descriptor.safetensors, the weights in bfloat16, and prints their SHA-256.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from modules.errors import UsageError
from modules.hardware import find_hardware
from training.loop import Plan, export, train


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line. Exit code 2, before any picture is made, for what cannot be done as asked."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    plan = Plan(seed=asked.seed)
    path = asked.folder / "descriptor.safetensors"
    try:
        with claimed(asked.folder):
            network = train(plan, asked.folder, device=asked.device, workers=asked.workers)
            print(f"{path}: SHA-256 {export(network, plan, path)}")
    except UsageError as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--device", type=_device, default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument(
        "--workers", type=_number, default=1, metavar="N", help="processes that make views (default: 1)"
    )
    parser.add_argument("--seed", type=_number, default=0)
    return parser


def _device(name: str) -> str:
    """A device's name, if it is one that works here."""
    if name == "cpu":  # it always does: torch is loaded without a look at the machine
        return name
    gpus = [f"cuda:{gpu.index}" for gpu in find_hardware().gpus if not gpu.problem]
    usable = ["cpu", *(["cuda"] if gpus else []), *gpus]
    if name not in usable:
        raise argparse.ArgumentTypeError(f"{name!r} is no device that works here; known are {', '.join(usable)}")
    return name


def _number(text: str) -> int:
    """A whole number that torch takes for a seed."""
    if not (text.isascii() and text.isdecimal() and int(text) < 2**64):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to 2^64 - 1")
    return int(text)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """``folder``, made if absent, kept from other trainings. Raises UsageError where it cannot be had."""
    lock = FileLock(folder / "lock", fallback_to_soft=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise UsageError(f"another training is at work in {folder}: wait for it, or name another folder") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be used as a folder ({error.strerror}): name another one") from error
    try:
        yield
    finally:
        lock.release()


if __name__ == "__main__":
    main()
