"""``main.py`` as a person or a container starts it: a process of its own with a clean environment."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("IMGSIEVE_", "AZURE_"))}


def imgsieve(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run it in ``folder`` to its end; ``environ`` comes on top of the clean environment.

    Its temporary folder is its own: a job says so when it removes what a killed one left there, whoever's it was.
    """
    with tempfile.TemporaryDirectory() as temporary:
        return subprocess.run(
            [sys.executable, str(ROOT / "main.py"), *arguments],
            cwd=folder,
            env={**CLEAN, "TMPDIR": temporary, **environ},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
