"""Which Azure account, credential and proxy a job uses, decided from address and environment. No request is made."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from modules.errors import UsageError
from modules.location import is_local

if TYPE_CHECKING:
    from modules.location import Location
    from modules.settings import AzureCredentials

_WAYS = (
    "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT (alone, or with AZURE_STORAGE_KEY or "
    "AZURE_STORAGE_SAS_TOKEN), or give the address as https://ACCOUNT.blob.core.windows.net/container/prefix"
)
_HOST = re.compile(rb"[A-Za-z0-9._:%-]+")
#: The emulator's account and key, the same on every machine and published by Microsoft.
EMULATOR = {
    "accountname": "devstoreaccount1",
    "accountkey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "blobendpoint": "http://127.0.0.1:10000/devstoreaccount1",
}


@dataclass(frozen=True, slots=True)
class Access:
    """endpoint: of the account, without slash at its end. key, sas: at most one; neither means azure-identity."""

    endpoint: str
    account: str
    key: str | None = field(default=None, repr=False)
    sas: str | None = field(default=None, repr=False)


def resolve(location: Location, credentials: AzureCredentials | None) -> Access:
    """The first of: SAS in the address, connection string, account and key, account and SAS, account alone.

    Raises UsageError, which never repeats a secret, when there is no account or what is set is malformed.
    """
    address = None if location.account is None else _web_address(location.account, "the address")
    if location.sas is not None and address is not None:
        return Access(address, account_of(address), sas=_checked_sas(location.sas.get_secret_value(), "the address"))
    if credentials is not None and credentials.connection_string is not None:
        access = _from_connection_string(credentials.connection_string.get_secret_value())
        if address is not None and address != access.endpoint:
            raise UsageError(
                f"the address is in {address}, AZURE_STORAGE_CONNECTION_STRING is for {access.endpoint}: "
                "they must be the same account"
            )
        return access
    named = credentials.account if credentials is not None else None
    endpoint = address or (_endpoint(named) if named else None)
    if endpoint is None:
        raise UsageError(f"no storage account is known: {_WAYS}")
    account = account_of(endpoint)
    if named and (_endpoint(named) != endpoint if "://" in named else named.lower() != account.lower()):
        raise UsageError(f"the address is in account {account}, AZURE_STORAGE_ACCOUNT says {named}: which one?")
    if credentials is not None and credentials.key is not None:
        return Access(endpoint, account, key=_checked_key(credentials.key.get_secret_value(), "AZURE_STORAGE_KEY"))
    if credentials is not None and credentials.sas_token is not None:
        sas = _checked_sas(credentials.sas_token.get_secret_value(), "AZURE_STORAGE_SAS_TOKEN")
        return Access(endpoint, account, sas=sas)
    if endpoint.startswith("http://"):
        raise UsageError(f"{endpoint} needs a key or a SAS: tokens of azure-identity are only sent over https")
    return Access(endpoint, account)


def account_of(endpoint: str) -> str:
    """``https://ACCOUNT.blob...`` or, of an emulator, ``http://host:port/ACCOUNT``."""
    parts = urlsplit(endpoint)
    return parts.path.strip("/") or (parts.hostname or "").partition(".")[0]


def proxy_for(endpoint: str) -> str | None:
    """The proxy that the environment names for an endpoint, with its password if it has one.

    HTTPS_PROXY or HTTP_PROXY by the endpoint's scheme, not for what NO_PROXY spares. Raises UsageError, which does not
    show it, for a proxy that no request can be sent through.
    """
    parts = _parts(endpoint)
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.hostname or ""):
        return None
    try:
        _parts(proxy)
    except ValueError:
        name = f"{parts.scheme}_proxy".upper()
        raise UsageError(f"the proxy in {name} cannot be used: write it as http://HOST:PORT, or unset it") from None
    return proxy


def _parts(url: str) -> SplitResult:
    """Raises ValueError for what is no address of a web server."""
    parts = urlsplit(url)
    host, _ = parts.hostname or "", parts.port
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host.encode("idna")):
        raise ValueError("no web address")
    return parts


def _web_address(endpoint: str, name: str) -> str:
    """An account's endpoint in the one spelling that is compared: small letters, no usual port, no slash at its end."""
    try:
        parts = _parts(endpoint)
    except ValueError:
        parts = None
    if parts is None or parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"{name} holds no web address of a storage account: write https://ACCOUNT.blob.core.windows.net"
        )
    host = parts.hostname or ""
    if parts.scheme == "http" and not is_local(host):
        raise UsageError(f"{name}: http://{host} would send pictures and keys in the clear: write https")
    usual = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in (None, usual) else f":{parts.port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{parts.path.rstrip('/')}"


def _endpoint(account: str) -> str:
    if "://" in account:
        return _web_address(account, "AZURE_STORAGE_ACCOUNT")
    if not (account.isascii() and account.isalnum() and account == account.lower()):
        raise UsageError("AZURE_STORAGE_ACCOUNT is no account name (small letters and digits only)")
    return f"https://{account}.blob.core.windows.net"


def _from_connection_string(text: str) -> Access:
    name = "AZURE_STORAGE_CONNECTION_STRING"
    _check_quotes(text, name)
    pairs = [part.partition("=") for part in text.strip().strip(";").split(";")]
    if any(not equals for _, equals, _ in pairs):
        raise UsageError(f"{name} is malformed: copy it whole from the account's access keys")
    fields = {key.strip().lower(): value.strip() for key, _, value in pairs}
    if fields.get("usedevelopmentstorage", "").lower() == "true":
        fields = EMULATOR
    account = fields.get("accountname")
    endpoint = fields.get("blobendpoint", "")
    if not endpoint and account:
        suffix = fields.get("endpointsuffix", "core.windows.net")
        endpoint = f"{fields.get('defaultendpointsprotocol', 'https')}://{account}.blob.{suffix}"
    if not endpoint:
        raise UsageError(f"{name} names no account: it needs AccountName or BlobEndpoint")
    endpoint = _web_address(endpoint, name)
    if "accountkey" in fields:
        return Access(endpoint, account or account_of(endpoint), key=_checked_key(fields["accountkey"], name))
    if "sharedaccesssignature" in fields:
        return Access(endpoint, account_of(endpoint), sas=_checked_sas(fields["sharedaccesssignature"], name))
    raise UsageError(f"{name} holds neither AccountKey nor SharedAccessSignature")


def _check_quotes(text: str, name: str) -> None:
    if text.strip()[:1] in ('"', "'"):
        raise UsageError(f"what {name} holds stands in quotes (docker's --env-file keeps them): write it without")


def _checked_key(key: str, name: str) -> str:
    _check_quotes(key, name)
    try:
        b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise UsageError(f"the key in {name} is malformed (not base64): copy it whole") from None
    return key


def _checked_sas(sas: str, name: str) -> str:
    _check_quotes(sas, name)
    sas = sas.lstrip("?")
    if "sig=" not in sas or "sv=" not in sas:
        raise UsageError(f"the SAS in {name} is malformed (it needs sv= and sig=): copy it whole")
    return sas
