"""Runs the job against Azurite behind a counting proxy and kills it at chosen requests, for tests and benchmarks."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pyarrow.parquet as pq
from aiohttp import web
from azure.storage.blob import BlobLeaseClient
from yarl import URL

from modules.distributed_processor import Bounds
from tests.azurite import ROOT, Azurite, connection_string

SHARD_ROWS = 64
BOUNDS = Bounds(
    min_download_workers=2,
    max_download_workers=8,
    num_process_workers=2,
    batch_size=4,
    queue_items=8,
    queue_bytes=1 << 28,
    picture_timeout=60.0,
)
#: Pictures that one kill can make a job download again: those of an open shard, and those on the way to it.
LOST_BY_A_KILL = SHARD_ROWS + BOUNDS.in_flight_images()
SETTINGS = {
    "IMGSIEVE_FEATURES": "perceptual",
    "IMGSIEVE_SHARD_ROWS": str(SHARD_ROWS),
    "IMGSIEVE_QUEUE_ITEMS": str(BOUNDS.queue_items),
    "MIN_DOWNLOAD_WORKERS": str(BOUNDS.min_download_workers),
    "MAX_DOWNLOAD_WORKERS": str(BOUNDS.max_download_workers),
    "NUM_PROCESS_WORKERS": str(BOUNDS.num_process_workers),
    "BATCH_SIZE": str(BOUNDS.batch_size),
}
Stop = Callable[["CountingProxy"], bool]
HOP = {"Transfer-Encoding", "Connection", "Keep-Alive"}


def kind_of(method: str, path: str, query: str, copies: bool) -> str:
    """What a request does: image-get, copy, put-FAMILY (a shard), or other."""
    if copies:
        return "copy"
    if "/_state/" in path:
        family = path.partition("/_state/")[2].partition("/")[0]
        return f"put-{family}" if method == "PUT" and "comp=" not in query else "other"
    if method == "GET" and path.endswith((".jpg", ".png", ".webp")) and "comp=" not in query:
        return "image-get"
    return "other"


@dataclass
class CountingProxy:
    """Forwards to Azurite and counts requests by kind; kills ``victim`` as soon as ``stop`` says so.

    seen: since the proxy was started. since: since :meth:`watch`.
    """

    upstream: int
    port: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    since: Counter[str] = field(default_factory=Counter)
    victim: int | None = None
    stop: Stop | None = None
    signal: int = signal.SIGKILL

    def __enter__(self) -> CountingProxy:
        started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, args=(started,), name="proxy", daemon=True)
        self._thread.start()
        assert started.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def watch(self, victim: int, stop: Stop | None) -> None:
        """Count anew, and kill ``victim`` at the request at which ``stop`` first holds."""
        self.since, self.victim, self.stop = Counter(), victim, stop

    def _serve(self, started: threading.Event) -> None:
        self._loop.run_until_complete(self._main(started))
        self._loop.close()

    async def _main(self, started: threading.Event) -> None:
        self._end = asyncio.Event()
        self._session = aiohttp.ClientSession(
            auto_decompress=False, connector=aiohttp.TCPConnector(keepalive_timeout=2)
        )
        runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)  # type: ignore[arg-type]  # Server gives web.Request too
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        started.set()
        await self._end.wait()
        await runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.content.read()
        kind = kind_of(request.method, request.path, request.query_string, "x-ms-copy-source" in request.headers)
        self.seen[kind] += 1
        self.since[kind] += 1
        if self.victim is not None and self.stop is not None and self.stop(self):
            os.kill(self.victim, self.signal)
            self.victim = None
        url = URL(f"http://127.0.0.1:{self.upstream}{request.raw_path}", encoded=True)
        headers = {k: v for k, v in request.headers.items() if k not in {"Host", "Content-Length", "Connection"}}
        async with self._session.request(
            request.method, url, data=body, headers=headers, skip_auto_headers=["Content-Type", "Accept"]
        ) as answer:
            data = await answer.read()
            drop = HOP if request.method == "HEAD" else HOP | {"Content-Length"}
            kept = {k: v for k, v in answer.headers.items() if k not in drop}
            return web.Response(status=answer.status, headers=kept, body=data)


@dataclass(frozen=True)
class Bench:
    """One container with pictures, an Azurite, and a proxy in front of it. Jobs run with SETTINGS.

    temporary: the jobs' temporary folder, as one machine's: what a killed one leaves there the next one finds.
    """

    azurite: Azurite
    proxy: CountingProxy
    container: str
    temporary: Path

    @property
    def source(self) -> str:
        return f"az://{self.container}/set"

    def upload(self, files: Mapping[str, bytes]) -> None:
        """Put pictures below the source."""
        with self.azurite.service() as service:
            client = service.get_container_client(self.container)
            for name, data in files.items():
                client.upload_blob(f"set/{name}", data, overwrite=True)

    def remove(self, prefix: str) -> None:
        """Remove everything below a prefix of the container."""
        with self.azurite.service() as service:
            client = service.get_container_client(self.container)
            for name in list(client.list_blob_names(name_starts_with=prefix)):
                client.delete_blob(name)

    def published(self) -> dict[str, bytes]:
        """Everything below the output but the state and run.json."""
        with self.azurite.service() as service:
            client = service.get_container_client(self.container)
            names = list(client.list_blob_names(name_starts_with="set_deduplicated/"))
            kept = [name for name in names if "/_state/" not in name and not name.endswith("/run.json")]
            return {name: client.download_blob(name).readall() for name in kept}

    def committed_rows(self) -> int:
        """Catalogue rows in the state."""
        with self.azurite.service() as service:
            client = service.get_container_client(self.container)
            names = client.list_blob_names(name_starts_with="set_deduplicated/_state/catalogue/")
            return sum(pq.read_metadata(io.BytesIO(client.download_blob(name).readall())).num_rows for name in names)

    def break_lock(self) -> None:
        """Take a killed job's lease away; otherwise the next one waits until it has run out."""
        with self.azurite.service() as service:
            blob = service.get_blob_client(self.container, "set_deduplicated/_state/lock")
            BlobLeaseClient(blob).break_lease(0)

    def run(self, stop: Stop | None = None) -> tuple[int, str]:
        """Run the job in a process of its own; exit code (negative: killed by that signal) and its stderr."""
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("IMGSIEVE_", "AZURE_"))},
            "AZURE_STORAGE_CONNECTION_STRING": connection_string(self.proxy.port),
            "IMGSIEVE_SOURCE": self.source,
            "TMPDIR": str(self.temporary),
            **SETTINGS,
        }
        process: subprocess.Popen[Any] = subprocess.Popen(
            [sys.executable, str(ROOT / "main.py")],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.proxy.watch(process.pid, stop)
        _, errors = process.communicate(timeout=600)
        return process.returncode, errors


def at(kind: str, count: int) -> Stop:
    """Holds at the ``count``-th request of a kind."""
    return lambda proxy: proxy.since[kind] >= count
