from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modules.io_utils import Store
from modules.memory_store import MemoryStore
from modules.store_thread import StoreThread
from tests.azurite import Azurite
from tests.publishing import World

# Tests have no models but those that they make and the one of requirements-lite0.txt, whatever this machine has:
# ``auto`` is ``efficientnet-lite0,descriptor`` for them. Set before the hub's client is loaded, here and in the
# processes that tests start.
_NO_HUB = tempfile.TemporaryDirectory(prefix="imgsieve-tests-no-hub-")
os.environ.update(HF_HUB_OFFLINE="1", HF_HOME=_NO_HUB.name)


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One Azurite for the whole session; tests make containers of their own. Fails when it is not installed."""
    try:
        server = Azurite().start()
    except RuntimeError as error:
        pytest.fail(str(error))
    yield server
    server.stop()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def thread(store: MemoryStore) -> Iterator[StoreThread]:
    owner = StoreThread(store)
    yield owner
    owner.close()


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[Callable[[Store], World]]:
    opened: list[World] = []

    def make(store: Store) -> World:
        folder = tmp_path / f"world{len(opened)}"
        folder.mkdir()
        opened.append(World(StoreThread(store), folder))
        return opened[-1]

    yield make
    for world in opened:
        world.thread.close()
