"""A real Azurite blob server on 127.0.0.1 for tests and benchmarks; state in memory, gone when stopped."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from modules.azure_access import EMULATOR
from modules.settings import AzureCredentials

ROOT = Path(__file__).resolve().parent.parent
ACCOUNT = EMULATOR["accountname"]
KEY = EMULATOR["accountkey"]


class Azurite:
    """Started by :meth:`start` (or ``with``), ready when that returns. log: path of its debug log, None for none."""

    def __init__(self, log: Path | None = None) -> None:
        self.port = 0
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """``http://127.0.0.1:PORT/devstoreaccount1``."""
        return endpoint(self.port)

    @property
    def connection_string(self) -> str:
        """With the emulator's public key."""
        return connection_string(self.port)

    @property
    def credentials(self) -> AzureCredentials:
        """The connection string as settings hold it."""
        return AzureCredentials.model_validate({"connection_string": self.connection_string})

    def start(self, seconds: float = 60) -> Azurite:
        """Raises RuntimeError when Azurite is not installed or does not come up within ``seconds``."""
        binary = find_azurite()
        self.port = free_port()
        command = [binary, "--inMemoryPersistence", "--silent", "--disableTelemetry", "--skipApiVersionCheck"]
        command += ["--blobHost", "127.0.0.1", "--blobPort", str(self.port)]
        if self.log is not None:
            command += ["--debug", str(self.log)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + seconds
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"{binary} did not come up on port {self.port}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """End the server; a second call does nothing."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def service(self) -> Any:
        """The SDK's own synchronous client, for setting up what a test needs beside the store."""
        from azure.storage.blob import BlobServiceClient

        return BlobServiceClient.from_connection_string(self.connection_string)

    def make_container(self, name: str) -> None:
        """Create a container; it must not be there yet."""
        with self.service() as service:
            service.create_container(name)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    def __enter__(self) -> Azurite:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def endpoint(port: int) -> str:
    """The emulator account's endpoint behind a port (Azurite's own, or a proxy's in front of it)."""
    return f"http://127.0.0.1:{port}/{ACCOUNT}"


def connection_string(port: int) -> str:
    """For that endpoint, with the emulator's public key."""
    return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint(port)};"


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def find_azurite() -> str:
    """Path of the server's program; RuntimeError with the way out when there is none."""
    local = ROOT / ".azurite" / "node_modules" / ".bin" / "azurite-blob"
    found = str(local) if local.exists() else shutil.which("azurite-blob")
    if found is None:
        raise RuntimeError("Azurite is not installed: run make setup")
    return found
