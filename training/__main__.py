"""Train the descriptor of copies.

    python -m training FOLDER [--device cuda] [--workers N] [--seed N]

FOLDER holds the made-up pictures, a log and a checkpoint: the same command, run again, goes on where it was. Ends with
FOLDER/descriptor.safetensors, the weights in bfloat16, and prints their SHA-256.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training.loop import Plan, export, train


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that make views (default: 1)")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    plan = Plan(seed=asked.seed)
    network = train(plan, asked.folder, device=asked.device, workers=asked.workers)
    path = asked.folder / "descriptor.safetensors"
    print(f"{path}: SHA-256 {export(network, plan, path)}")


if __name__ == "__main__":
    main()
