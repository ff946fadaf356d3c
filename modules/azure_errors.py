"""What the answers of Azure Blob Storage mean: the one map from status and error code onto this project's errors.

Codes: https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes. No text of the service is
repeated in an error: it may quote signatures.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs

from modules.errors import (
    AccessError,
    ConditionFailedError,
    ImgsieveError,
    LeaseHeldError,
    NotFoundError,
    StoreError,
    UsageError,
)

#: Statuses that mean "not now": throttled, overloaded, timed out inside.
NOT_NOW = frozenset({408, 429, 500, 502, 503, 504})
#: Those of them that slow everybody down when they say for how long.
THROTTLED = frozenset({429, 503})
#: 409 codes that another attempt mends: an earlier copy to the same target has not ended yet.
NOT_YET = frozenset({"PendingCopyOperation"})

#: A number of seconds that is longer is no answer of a service, and may be more than a number can hold.
_DIGITS = 12
#: The service takes a signature whose time is no further from its own.
_SKEW = timedelta(minutes=15)
_CONDITIONS = frozenset(
    {
        "BlobAlreadyExists",
        "BlobOverwritten",
        "ConditionNotMet",
        "SourceConditionNotMet",
        "TargetConditionNotMet",
        "UnauthorizedBlobOverwrite",
    }
)
_ACCESS = {
    "AccountIsDisabled": "the storage account is disabled",
    "AuthenticationFailed": "the key, SAS or token is wrong or has expired",
    "AuthorizationFailure": "the key may be wrong, or the account's network rules or this identity's rights do not "
    "allow it",
    "AuthorizationPermissionMismatch": "these credentials lack the permission (a SAS or role needs read and list on "
    "the source, and write, create, delete and list on the output)",
    "AuthorizationProtocolMismatch": "the SAS does not allow this protocol: use https",
    "AuthorizationResourceTypeMismatch": "the SAS is for another kind of resource: container and object are needed",
    "AuthorizationServiceMismatch": "the SAS is for another service: it must allow blobs",
    "AuthorizationSourceIPMismatch": "the SAS does not allow this machine's IP address",
    "InsufficientAccountPermissions": "the account does not allow this operation",
    "KeyBasedAuthenticationNotPermitted": "the account forbids keys and SAS: sign in with azure-identity",
    "NoAuthenticationInformation": "no credentials were given",
    "PublicAccessNotPermitted": "no credentials were given, and the account allows no public access",
}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait, None when it does not (or names a date, which no Azure service does)."""
    for name, unit in (("x-ms-retry-after-ms", 1000), ("retry-after-ms", 1000), ("retry-after", 1)):
        value = headers.get(name, "").strip()
        if value.isascii() and value.isdigit() and len(value) <= _DIGITS:
            return int(value) / unit
    return None


def is_unknown_host(error: BaseException) -> bool:
    """Whether a request failed as there is no host of that name; not that names could not be looked up just now."""
    inner = getattr(error, "inner_exception", None)
    cause = getattr(inner, "os_error", inner)
    return isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME


def refusal(status: int, headers: Mapping[str, str], code: str, address: str, sas: str | None) -> ImgsieveError:
    """The error for a refused request on ``address``. code: of the service, may be empty. sas: what was shown."""
    if status in (401, 403) or code in _ACCESS:
        clock = _clock_problem(headers) if code == "AuthenticationFailed" and not sas else None
        reason = _sas_problem(sas, headers) or clock or _ACCESS.get(code, "the credentials do not allow it")
        return AccessError(f"no access to {address}: {reason} ({status} {code})".replace(" )", ")"))
    if code in ("ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"):
        container = address.removeprefix("az://").partition("/")[0]
        return UsageError(f"there is no container {container!r} in this storage account: create it or correct the name")
    if status == 404:
        return NotFoundError(f"there is no blob {address}")
    return _conflict(status, code, address)


def _conflict(status: int, code: str, address: str) -> ImgsieveError:
    if code.startswith("Lease"):
        return LeaseHeldError(f"another job holds {address} ({code})")
    if code in ("BlobArchived", "BlobBeingRehydrated"):
        return StoreError(f"{address} is in the archive tier: rehydrate it to read or copy it")
    if status in (304, 412) or code in _CONDITIONS:
        return ConditionFailedError(f"{address} is not what it was expected to be ({status} {code})")
    return StoreError(f"the store refused {address}: {status} {code or 'without a code'}")


def _sas_problem(sas: str | None, headers: Mapping[str, str]) -> str | None:
    """Whether the SAS is out of its time by the service's own clock."""
    if not sas:
        return None
    fields = parse_qs(sas.lstrip("?"))
    if (date := _date(headers)) is None:
        return None
    now = date.strftime("%Y-%m-%dT%H:%M:%SZ")
    start, end = fields.get("st", [""])[0], fields.get("se", [""])[0]
    if end and _day_or_time(end) <= now[: len(_day_or_time(end))]:
        return f"the SAS has expired (se={end}): make a new one"
    if start and _day_or_time(start) > now[: len(_day_or_time(start))]:
        return f"the SAS is not valid yet (st={start})"
    return None


def _clock_problem(headers: Mapping[str, str]) -> str | None:
    """Whether a request signed with this machine's time is too old, or too new, for the service."""
    date = _date(headers)
    if date is None or abs(ahead := datetime.now(UTC) - date) <= _SKEW:
        return None
    minutes = round(abs(ahead) / timedelta(minutes=1))
    side = "ahead of" if ahead > timedelta() else "behind"
    return f"this machine's clock is {minutes} minutes {side} the service's: set it right"


def _date(headers: Mapping[str, str]) -> datetime | None:
    """When an answer was given, by the service's clock."""
    try:
        date = parsedate_to_datetime(headers.get("Date", ""))
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _day_or_time(text: str) -> str:
    """ISO 8601 as the service allows it (a date, or to the minute, or to the second), without its final Z."""
    return text.rstrip("Z")
