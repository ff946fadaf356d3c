from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.azurite import Azurite


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One Azurite for the whole session; tests make containers of their own. Fails when it is not installed."""
    try:
        server = Azurite().start()
    except RuntimeError as error:
        pytest.fail(str(error))
    yield server
    server.stop()
