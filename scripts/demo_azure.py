"""``make demo-azure``: the container job against Azurite, told what to do by nothing but environment variables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from azure.storage.blob import BlobServiceClient, ContainerClient

from modules.errors import EXIT_DONE_WITH_FAILURES
from modules.progress import size
from scripts.judge import judge, show
from scripts.make_sample import Truth, make_sample
from tests.azurite import ROOT, Azurite

CONTAINER = "pictures"
SOURCE = f"az://{CONTAINER}/sample"
OUTPUT = "sample_deduplicated/"
#: The job as a container platform would describe it; the connection string comes on top.
JOB = {
    "IMGSIEVE_SOURCE": SOURCE,
    "IMGSIEVE_FEATURES": "descriptor",
    "NUM_AZURE_CONNECTIONS": "16",
    "MIN_DOWNLOAD_WORKERS": "2",
    "MAX_DOWNLOAD_WORKERS": "16",
    "BATCH_SIZE": "32",
    "MAX_REQUESTS_PER_SECOND": "400",
}


def main() -> None:
    """Upload, run, list, judge; Azurite is stopped on any way out. Ends with an error if the result is wrong."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the with-block ends, and Azurite with it
    with Azurite() as server, BlobServiceClient.from_connection_string(server.connection_string) as service:
        container = service.create_container(CONTAINER)
        truth = _upload(container)
        print("Running: python main.py, with\n" + "\n".join(f"  {name}={value}" for name, value in JOB.items()))
        print("  AZURE_STORAGE_CONNECTION_STRING=***\n", flush=True)
        foreign = ("IMGSIEVE_", "AZURE_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        environment |= {**JOB, "AZURE_STORAGE_CONNECTION_STRING": server.connection_string}
        code = subprocess.run([sys.executable, "main.py"], cwd=ROOT, env=environment, check=False).returncode
        if code != EXIT_DONE_WITH_FAILURES:
            sys.exit(f"main.py ended with {code}; {EXIT_DONE_WITH_FAILURES} was expected, for two files are broken")
        _list(container)
        report = container.download_blob(OUTPUT + "image_report.csv").readall()
        failed = container.download_blob(OUTPUT + "failed.csv").readall()
        judgement = judge(report, failed, SOURCE, truth)
        show(judgement)
        if problems := judgement.problems(truth):
            sys.exit("\n".join(problems))


def _upload(container: ContainerClient) -> Truth:
    with tempfile.TemporaryDirectory() as folder:
        truth = make_sample(Path(folder) / "sample")
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        for path in files:
            container.upload_blob(path.relative_to(folder).as_posix(), path.read_bytes())
    print(f"{len(files)} files uploaded to {SOURCE}")
    return truth


def _list(container: ContainerClient) -> None:
    blobs, total = Counter[str](), Counter[str]()
    for blob in container.list_blobs(name_starts_with=OUTPUT):
        first, slash, _ = blob.name.removeprefix(OUTPUT).partition("/")
        blobs[first + slash] += 1
        total[first + slash] += blob.size
    print(f"\naz://{CONTAINER}/{OUTPUT}")
    for name in sorted(blobs):
        print(f"  {name:<20}{blobs[name]:>6} blobs  {size(total[name]):>10}")
    print()


if __name__ == "__main__":
    main()
