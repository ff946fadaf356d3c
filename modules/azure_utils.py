"""Azure Blob Storage behind the Store protocol, over azure-storage-blob's aio client.

Every attempt of every request passes :class:`modules.request_gate.Gate`. Retries of the SDK and of aiohttp are off;
:class:`modules.retry.Retry` is the one loop.
"""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.identity.aio import DefaultAzureCredential
from azure.storage.blob import BlobProperties, ContentSettings
from azure.storage.blob.aio import BlobClient, BlobLeaseClient, BlobServiceClient, ContainerClient

from modules.azure_access import Access, proxy_for, resolve
from modules.azure_copy import ServiceCopy, Target
from modules.azure_errors import NOT_NOW, NOT_YET, THROTTLED, is_unknown_host, refusal, retry_after
from modules.azure_transport import Transport
from modules.checksums import measure
from modules.errors import (
    AccessError,
    ConditionFailedError,
    ImgsieveError,
    LeaseHeldError,
    NotFoundError,
    RetryLaterError,
    StoreAwayError,
    StoreError,
    TransientError,
    UsageError,
)
from modules.records import BlobInfo, Content, ListPage
from modules.request_gate import LONGEST_PAUSE, OPERATION, Gate, Operation, RequestOptions
from modules.retry import AgainError, Retry
from modules.settings import redact

if TYPE_CHECKING:
    from modules.io_utils import Lease, Location
    from modules.settings import AzureCredentials

T = TypeVar("T")

#: A larger blob is read in pieces of this size under one ETag; a larger file is written as blocks of BLOCK bytes.
SINGLE_GET = 1024 * 1024 * 1024
BLOCK = 8 * 1024 * 1024
#: Times that no token is to be had before it counts as a wrong credential; a machine's identity starts up beside it.
TOKEN_TRIES = 3
_TYPES = {".csv": "text/csv; charset=utf-8", ".json": "application/json"}


class AzureStore:
    """One storage account; keys are ``container/blob name``."""

    def __init__(self, access: Access, options: RequestOptions) -> None:
        self._retry = Retry(options.retry)
        self._gate = Gate(options, self._retry)
        self._identity = None if access.key or access.sas else DefaultAzureCredential()
        self._service = BlobServiceClient(
            access.endpoint,
            credential=_credential(access) or self._identity,
            transport=Transport(options.connections, self._gate, proxy_for(access.endpoint)),
            retry_total=0,
            max_single_get_size=SINGLE_GET,
            max_chunk_get_size=SINGLE_GET,
            max_single_put_size=BLOCK,
            max_block_size=BLOCK,
        )
        self._sleep = options.retry.sleep
        self._sas = access.sas
        self._unknown_host = False
        self._tokens_refused = 0

    @property
    def requests(self) -> int:
        """Attempts sent so far, of any kind."""
        return self._gate.kinds.total()

    @property
    def requests_by_kind(self) -> dict[str, int]:
        """Attempts sent so far by the operation that they belong to: read, write, copy, list, ..."""
        return dict(self._gate.kinds)

    def address(self, key: str) -> str:
        """``az://container/name``, the name as it is."""
        return f"az://{key}"

    async def check(self, prefix: str) -> None:
        """See :meth:`Store.check`; gives up early on a host that cannot be reached."""
        try:
            await self._page(prefix, None, 1, attempts=3)
        except (TransientError, RetryLaterError) as error:
            if self._retry.ever_answered:  # it is there, and says "not now"
                await self._page(prefix, None, 1)
                return
            endpoint = self._service.url.partition("?")[0].rstrip("/")
            if self._unknown_host:
                raise UsageError(f"cannot reach {endpoint}: check the account name ({error})") from None
            raise StoreAwayError(f"cannot reach {endpoint}: check the connection, run again ({error})") from None

    async def list(self, prefix: str, *, marker: str | None = None, page_size: int = 2000) -> AsyncIterator[ListPage]:
        """See :meth:`Store.list`; the marker is the service's. A page may hold fewer names than asked for, or none."""
        while True:
            page = await self._page(prefix, marker, page_size)
            yield page
            if page.marker is None:
                return
            marker = page.marker

    async def _page(self, prefix: str, marker: str | None, size: int, attempts: int | None = None) -> ListPage:
        root, _, start = prefix.partition("/")
        container: ContainerClient = self._service.get_container_client(root)

        async def call() -> ListPage:
            # Directories of hierarchical accounts appear in a flat listing as empty blobs; only their metadata
            # tells them from empty files. Asking for it costs no further request.
            pages = container.list_blobs(
                name_starts_with=start or None, include=["metadata"], results_per_page=min(size, 5000)
            ).by_page(continuation_token=marker)
            blobs = [_info(f"{root}/{blob.name}", blob) async for blob in await anext(pages) if not _is_stub(blob)]
            return ListPage(blobs, getattr(pages, "continuation_token", None) or None)

        return await self._ask("list", prefix, call, attempts=attempts)

    async def read(self, key: str, *, if_match: str | None = None, part: tuple[int, int] | None = None) -> Content:
        """See :meth:`Store.read`."""
        blob, (start, length) = self._blob(key), part or (None, None)

        async def call() -> Content:
            stream = await blob.download_blob(start, length, max_concurrency=1, **_if_match(if_match))
            return Content(await stream.readall(), _plain(stream.properties.etag))

        return await self._ask("read", key, call)

    async def stat(self, key: str) -> BlobInfo | None:
        """See :meth:`Store.stat`."""
        try:
            return _info(key, await self._ask("stat", key, self._blob(key).get_blob_properties))
        except NotFoundError:
            return None

    async def write(self, key: str, data: bytes | Path, *, if_match: str | None = None, if_absent: bool = False) -> str:
        """See :meth:`Store.write`; Content-MD5 is always set, also on files sent in blocks."""
        blob = self._blob(key)
        size, md5 = await asyncio.to_thread(measure, data)
        settings = ContentSettings(
            content_type=_TYPES.get(Path(key).suffix, "application/octet-stream"), content_md5=bytearray(md5)
        )

        async def call() -> str:
            with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as body:
                answer = await blob.upload_blob(
                    body,
                    length=size,
                    overwrite=not if_absent,
                    content_settings=settings,
                    max_concurrency=1,
                    **_if_match(if_match),
                )
            return _plain(answer["etag"])

        try:
            return await self._ask("write", key, call)
        except (ConditionFailedError, NotFoundError):
            present = await self.stat(key)
            if present is not None and (present.size, present.md5) == (size, md5):
                return present.etag  # an earlier attempt had got there, only its answer was lost
            raise ConditionFailedError(f"{self.address(key)} is not what it was expected to be") from None

    async def copy(self, source: str, target: str, *, source_etag: str) -> str:
        """See :meth:`Store.copy`: the service copies by itself (Copy Blob), properties and metadata included."""
        url = self._blob(source).url  # carries the SAS, if one is used
        blob = self._blob(target)

        async def begin() -> dict[str, Any]:
            return await blob.start_copy_from_url(
                url,
                source_etag=f'"{source_etag}"',
                source_match_condition=MatchConditions.IfNotModified,
                match_condition=MatchConditions.IfMissing,
            )

        async def start() -> Target:
            answer = await self._ask("copy", source, begin)
            return Target(_plain(answer["etag"]), answer["copy_id"], answer["copy_status"], url)

        async def look() -> Target:
            now = await self._ask("copy", target, blob.get_blob_properties)
            return Target(_plain(now.etag), now.copy.id, now.copy.status, now.copy.source)

        return await ServiceCopy(self, source, source_etag, target, url, start, look, self._sleep).run()

    async def delete(self, key: str, *, if_match: str) -> None:
        """See :meth:`Store.delete`."""
        blob = self._blob(key)

        async def call() -> None:
            await blob.delete_blob(**_if_match(if_match))

        try:
            await self._ask("delete", key, call)
        except NotFoundError:
            return
        except ConditionFailedError:
            if await self.stat(key) is not None:
                raise

    async def lease(self, key: str, seconds: int) -> Lease:
        """See :meth:`Store.lease`; the service takes 15 to 60 seconds."""
        lease = _AzureLease(self, key, seconds, self._blob(key))
        try:
            await lease.acquire()
        except NotFoundError:
            await self._make(key)
            await lease.acquire()
        return lease

    async def _make(self, key: str) -> None:
        try:
            await self.write(key, b"", if_absent=True)
        except (ConditionFailedError, LeaseHeldError):
            return  # another one made it meanwhile: whose it is, acquiring tells

    async def close(self) -> None:
        """Close the connections and the credential."""
        await self._service.close()
        if self._identity is not None:
            await self._identity.close()

    def _blob(self, key: str) -> BlobClient:
        container, _, name = key.partition("/")
        if {".", ".."} & set(name.split("/")):
            raise StoreError(f"{self.address(key)} has a segment '.' or '..', which no URL can address")
        return self._service.get_blob_client(container, name)

    async def _ask(
        self,
        kind: str,
        key: str,
        call: Callable[[], Awaitable[T]],
        *,
        attempts: int | None = None,
        operation: Operation | None = None,
    ) -> T:
        """Run one request with retries; what the SDK raises leaves this place as an error of this project."""

        async def attempt() -> T:
            token = OPERATION.set(operation or Operation(kind))
            try:
                return await call()
            except AzureError as error:
                raise self._translate(error, key) from None
            except (ValueError, LookupError, AttributeError, ArithmeticError) as error:
                # What the SDK raises over an answer that no such service gives: a login page, half a header.
                raise AgainError(f"the answer cannot be understood ({type(error).__name__})") from error
            finally:
                OPERATION.reset(token)

        return await self._retry.run(f"{kind} {self.address(key)}", attempt, attempts=attempts)

    async def ask_first(self, key: str, call: Callable[[], Awaitable[T]], seconds: float) -> T:
        """For leases: before all others, with two quick attempts only; a late answer is worth nothing."""
        operation = Operation("lease", priority=True, seconds=seconds / 3)
        return await self._ask("lease", key, call, attempts=2, operation=operation)

    def _translate(self, error: AzureError, key: str) -> ImgsieveError | AgainError:
        response: Any = getattr(error, "response", None)
        if response is None and isinstance(error, ClientAuthenticationError):
            self._tokens_refused += 1
            if self._retry.ever_answered or self._tokens_refused < TOKEN_TRIES:
                return AgainError("azure-identity could get no token")
            return AccessError(
                "no Azure credential works here: set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with "
                "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, or sign in (az login, managed identity)"
            )
        if response is None or response.status_code < 300:
            self._unknown_host = is_unknown_host(error)
            return AgainError(redact(str(error.message).partition("\n")[0]))
        status, headers = response.status_code, response.headers
        code = str(getattr(getattr(error, "error_code", None), "value", "") or headers.get("x-ms-error-code", ""))
        if status in NOT_NOW or code in NOT_YET:
            after = retry_after(headers)
            return AgainError(
                f"{status} {code or response.reason}",
                None if after is None else min(after, LONGEST_PAUSE),
                throttled=status in THROTTLED,
            )
        return refusal(status, headers, code, self.address(key), self._sas)


class _AzureLease:
    """The id is chosen here, not by the service, so that an attempt whose answer was lost can be repeated."""

    def __init__(self, store: AzureStore, key: str, seconds: int, blob: BlobClient) -> None:
        self._store, self._key, self._seconds, self._blob = store, key, seconds, blob
        self._id = str(uuid.uuid4())

    def _client(self) -> BlobLeaseClient:
        return BlobLeaseClient(self._blob, lease_id=self._id)  # the SDK's forgets its id at a release

    async def acquire(self) -> None:
        await self._store.ask_first(self._key, lambda: self._client().acquire(self._seconds), self._seconds)

    async def renew(self) -> None:
        try:
            await self._store.ask_first(self._key, lambda: self._client().renew(), self._seconds)
        except (NotFoundError, ConditionFailedError):
            raise LeaseHeldError(f"the lock {self._store.address(self._key)} was removed") from None

    async def release(self) -> None:
        try:
            await self._store.ask_first(self._key, lambda: self._client().release(), self._seconds)
        except (LeaseHeldError, NotFoundError, ConditionFailedError):
            return  # lost already: nothing to give back


def _plain(etag: str) -> str:
    return etag.removeprefix("W/").strip('"')


def _if_match(etag: str | None) -> dict[str, Any]:
    return {} if etag is None else {"etag": f'"{etag}"', "match_condition": MatchConditions.IfNotModified}


def _is_stub(blob: BlobProperties) -> bool:
    metadata = {name.lower(): value for name, value in (blob.metadata or {}).items()}
    return blob.size == 0 and metadata.get("hdi_isfolder") == "true"


def _info(key: str, blob: BlobProperties) -> BlobInfo:
    settings = blob.content_settings
    return BlobInfo(
        key,
        blob.size,
        _plain(blob.etag),
        bytes(settings.content_md5) if settings.content_md5 else None,
        settings.content_type,
        archived=blob.blob_tier == "Archive",
        modified_ns=int(blob.last_modified.timestamp()) * 10**9 if blob.last_modified else 0,  # full seconds
    )


def _credential(access: Access) -> str | dict[str, str] | None:
    return access.sas if access.key is None else {"account_name": access.account, "account_key": access.key}


def open_azure_store(location: Location, credentials: AzureCredentials | None, options: RequestOptions) -> AzureStore:
    """The account that holds ``location``. Raises UsageError for missing or malformed credentials."""
    return AzureStore(resolve(location, credentials), options)
