"""Where pictures, output and state lie: the addresses that people write, taken apart."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import SecretStr

from modules.errors import UsageError

_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
_CONTAINER = re.compile(r"^(?:[a-z0-9](?!.*--)[a-z0-9-]{1,61}[a-z0-9]|\$root|\$web|\$logs)$")
_SAS = re.compile(r"[?&](?:sig|sv)=")
_WAYS = "use az://container/prefix, https://ACCOUNT.blob.core.windows.net/container/prefix or a folder"


@dataclass(frozen=True, slots=True)
class Location:
    """A prefix in one store.

    scheme: which kind of store. account: the Azure endpoint (``https://ACCOUNT.blob.core.windows.net``, no slash at
    its end), None when the credentials name it. prefix: a key that ends in ``/``. sas: the token of an https address;
    neither repr nor str shows it.
    """

    scheme: Literal["folder", "azure", "mem"]
    account: str | None
    prefix: str
    sas: SecretStr | None = None

    @classmethod
    def parse(cls, text: str) -> Location:
        """Take an address apart. Raises UsageError, one line with the way out, for anything that is none.

        ``az://container/prefix`` and ``mem://container/prefix`` are taken as they are; in ``https://`` addresses
        percent-escapes are decoded; everything else is a folder, made absolute (links are not resolved).
        """
        if not text.strip():
            raise UsageError(f"the address is empty: {_WAYS}")
        if "\0" in text:
            raise UsageError("the address holds a NUL character")
        scheme = _SCHEME.match(text)
        if scheme is None:
            return cls("folder", None, _folder_prefix(text))
        match scheme[1].lower():
            case "az":
                if _SAS.search(text):
                    raise UsageError(
                        "a SAS belongs to an https:// address or into AZURE_STORAGE_SAS_TOKEN, not into az://"
                    )
                return cls("azure", None, _blob_prefix(text[5:], "az://container/prefix"))
            case "mem":
                return cls("mem", None, _blob_prefix(text[6:], "mem://container/prefix"))
            case "https" | "http":
                return cls._from_url(text)
            case "file":
                raise UsageError("file:// addresses are not supported: write the folder's plain path")
            case other:
                raise UsageError(f"{other}:// addresses are not supported: {_WAYS}")

    @classmethod
    def _from_url(cls, text: str) -> Location:
        try:
            parts = urlsplit(text)
            host, _ = parts.hostname or "", parts.port
            decoded = unquote(parts.path, errors="strict").lstrip("/")
        except ValueError:
            raise UsageError(f"the web address cannot be read: {_WAYS}") from None
        if not host or parts.username is not None or parts.fragment:
            raise UsageError(f"the web address is no blob address (a '#' in a name is written %23): {_WAYS}")
        local = is_local(host)
        if parts.scheme == "http" and not local:
            raise UsageError(f"http://{host} would send pictures and keys in the clear: write https://{host}")
        account = f"{parts.scheme}://{parts.netloc}"
        if local:  # an emulator: its first path segment is the account
            name, _, decoded = decoded.partition("/")
            account = f"{account}/{name}"
        prefix = _blob_prefix(decoded, f"{account}/container/prefix")
        return cls("azure", account, prefix, _sas_of(parts))

    @property
    def is_container_root(self) -> bool:
        """Whether this is a whole container, which nothing lies beside."""
        return self.scheme != "folder" and self.prefix.count("/") == 1

    @property
    def name(self) -> str:
        """The last name of the prefix: the folder's, or the container's at its root; empty for the folder ``/``."""
        return self.prefix.rstrip("/").rpartition("/")[2]

    @property
    def address(self) -> str:
        """As people read it, without the slash at the end and without any secret."""
        scheme = {"folder": "", "azure": "az://", "mem": "mem://"}[self.scheme]
        return scheme + (self.prefix.rstrip("/") or "/")

    def __str__(self) -> str:
        return self.address


def _folder_prefix(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("the folder's name is not valid UTF-8: rename it, or name a folder above it") from None
    path = os.path.abspath(os.path.expanduser(text)).strip("/")
    return f"/{path}/" if path else "/"


def is_local(host: str) -> bool:
    """Whether a host, by its name alone, is an emulator that http:// may be spoken to: one word, or an IP address."""
    if "." not in host:
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _sas_of(parts: SplitResult) -> SecretStr | None:
    if not parts.query:
        return None
    if "sig=" not in parts.query:
        raise UsageError(
            "what follows '?' in the address is no SAS (it has no sig=): leave it away, or write '?' in a name as %3F"
        )
    return SecretStr(parts.query)


def _blob_prefix(path: str, example: str) -> str:
    container, _, rest = path.partition("/")
    if not container:
        raise UsageError(f"the address names no container: write {example}")
    if not _CONTAINER.match(container):
        raise UsageError(
            f"{container!r} is no container name (3 to 63 small letters, digits and single hyphens): write {example}"
        )
    rest = rest.rstrip("/")
    return f"{container}/{rest}/" if rest else f"{container}/"
