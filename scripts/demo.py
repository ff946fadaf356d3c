"""``make demo``: makes the sample, runs the job on it as a person would, and holds the report against the truth."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from modules.errors import EXIT_DONE_WITH_FAILURES
from scripts.judge import judge, show
from scripts.make_sample import make_sample

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "demo"


def main() -> None:
    """Ends with an error when the run or its result is not as it must be."""
    if DEMO.exists():
        shutil.rmtree(DEMO)
    sample, result = DEMO / "sample", DEMO / "sample_deduplicated"
    truth = make_sample(sample)
    arguments = [str(sample), "--features", "descriptor"]  # the embedded one: a demo must not wait for weights
    print(f"The sample lies in {sample}\nRunning: python main.py {' '.join(arguments)}\n", flush=True)
    code = subprocess.run([sys.executable, "main.py", *arguments], cwd=ROOT, check=False).returncode
    if code != EXIT_DONE_WITH_FAILURES:
        sys.exit(f"main.py ended with {code}; {EXIT_DONE_WITH_FAILURES} was expected, for two files are broken")
    judgement = judge(
        (result / "image_report.csv").read_bytes(), (result / "failed.csv").read_bytes(), str(sample), truth
    )
    print()
    show(judgement)
    print("\n".join(f"{name:<20}{result / name}" for name in ("image_report.csv", "failed.csv", "best", "duplicates")))
    if problems := judgement.problems(truth):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
