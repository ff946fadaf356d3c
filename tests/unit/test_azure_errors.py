"""What the failures of requests to Azure are taken for."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from azure.core.exceptions import ServiceRequestError

from modules.azure_errors import is_unknown_host


def failed(cause: OSError) -> ServiceRequestError:
    """As the SDK raises what aiohttp raised of ``cause``."""
    key = ConnectionKey("acct.blob.core.windows.net", 443, True, True, None, None, None)
    return ServiceRequestError("cannot connect", error=aiohttp.ClientConnectorError(key, cause))


@pytest.mark.parametrize(
    ("cause", "unknown"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), True),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), False),
        (ConnectionRefusedError(111, "Connection refused"), False),
    ],
)
def test_a_name_that_is_none_is_told_from_names_that_cannot_be_looked_up_just_now(
    cause: OSError, unknown: bool
) -> None:
    assert is_unknown_host(failed(cause)) == unknown


def test_what_has_no_cause_is_no_unknown_host() -> None:
    assert not is_unknown_host(ServiceRequestError("cannot connect"))
