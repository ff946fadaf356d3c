"""The manifest: one small JSON file that says which run, epoch and attempt this state is in.

It is changed only under If-Match of what this process read or wrote last, so a zombie (a job that lost its lease
without noticing) is found out at its next change, and at every :meth:`ManifestFile.fence`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from modules.errors import ConditionFailedError, LeaseHeldError, NotFoundError, StateError, UsageError
from modules.store_thread import StoreThread

#: 2: listings say when a blob was changed last. 3: and which files belong to pictures.
SCHEMA = 3

Phase = Literal["listing", "streaming", "matching", "publishing", "done"]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The state's head.

    epoch, attempt: from 1; the attempt goes up at every start and never back, also not in a new epoch. request: the
    settings that say what a run is (features, relations, uniques, source), as plain JSON. parts: of the listing,
    None until it is complete. state_of: address of the output that this state belongs to.
    """

    run_id: str
    epoch: int
    attempt: int
    phase: Phase
    request: dict[str, Any]
    parts: int | None
    state_of: str
    schema: int = SCHEMA

    @classmethod
    def first(cls, request: Mapping[str, Any], state_of: str) -> Manifest:
        """The manifest of a new state: epoch 1, attempt 1."""
        return cls(uuid.uuid4().hex, 1, 1, "listing", _plain(request), None, state_of)

    def new_epoch(self, request: Mapping[str, Any]) -> Manifest:
        """A new listing, on everything that is cached."""
        return replace(
            self,
            epoch=self.epoch + 1,
            attempt=self.attempt + 1,
            phase="listing",
            parts=None,
            request=_plain(request),
            schema=SCHEMA,
        )

    def new_attempt(self) -> Manifest:
        """The same epoch, started again."""
        return replace(self, attempt=self.attempt + 1)

    def at(self, phase: Phase, *, parts: int | None = None) -> Manifest:
        """Another phase; ``parts`` is set with the listing's completion and kept afterwards."""
        return replace(self, phase=phase, parts=self.parts if parts is None else parts)

    def changes(self, request: Mapping[str, Any]) -> list[str]:
        """Names of the settings that differ from this manifest's request."""
        other = _plain(request)
        names = sorted(self.request.keys() | other.keys())
        return [name for name in names if self.request.get(name) != other.get(name)]

    def resumes(self, request: Mapping[str, Any]) -> bool:
        """Whether this epoch is unfinished, in today's format, and was started by an equal request."""
        return self.schema == SCHEMA and self.phase != "done" and not self.changes(request)

    def to_json(self) -> bytes:
        """Readable, with sorted names."""
        return json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes, address: str) -> Manifest:
        """Raises UsageError for a newer format, StateError for anything else that is not a manifest."""
        try:
            values = json.loads(data)
            schema = int(values["schema"])
            if schema > SCHEMA:
                raise UsageError(f"{address} was written by a newer imgsieve (format {schema}); use that one")
            manifest = cls(**values)
            manifest._check()
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"{address} is damaged; restore it, or choose another state or output") from error
        return manifest

    def _check(self) -> None:
        """Raises ValueError for values that no manifest holds."""
        texts = (self.run_id, self.state_of, self.request["source"])
        numbers = (self.epoch, self.attempt, 1 if self.parts is None else self.parts)
        if self.phase not in get_args(Phase) or not all(isinstance(text, str) for text in texts):
            raise ValueError("not a manifest's texts")
        if not all(isinstance(number, int) and number > 0 for number in numbers):
            raise ValueError("not a manifest's numbers")


class ManifestFile:
    """The manifest in the store. One object per process; not for several threads at once, but for :meth:`fence`."""

    def __init__(self, thread: StoreThread, key: str) -> None:
        self._thread = thread
        self._key = key
        self._etag: str | None = None

    def load(self) -> Manifest | None:
        """Read it and remember its ETag; None when there is none yet."""
        try:
            content = self._thread.run(self._thread.store.read(self._key))
        except NotFoundError:
            self._etag = None
            return None
        manifest = Manifest.from_json(content.data, self._address)
        self._etag = content.etag
        return manifest

    def save(self, manifest: Manifest) -> None:
        """Write it if it still is what was loaded or saved last. Raises LeaseHeldError when it is not."""
        write = self._thread.store.write
        try:
            self._etag = self._thread.run(
                write(self._key, manifest.to_json(), if_match=self._etag, if_absent=self._etag is None)
            )
        except (ConditionFailedError, NotFoundError) as error:
            raise self._lost() from error

    def fence(self) -> None:
        """Raise LeaseHeldError when the manifest is not the one that this process wrote last."""
        blob = self._thread.run(self._thread.store.stat(self._key))
        if blob is None or blob.etag != self._etag:
            raise self._lost()

    @property
    def _address(self) -> str:
        return self._thread.store.address(self._key)

    def _lost(self) -> LeaseHeldError:
        return LeaseHeldError(f"another job took over {self._address}; let it finish, or run again after it")


def _plain(request: Mapping[str, Any]) -> dict[str, Any]:
    """As it comes back from JSON (tuples become lists), so that comparisons hold after a restart."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(request)))
    return plain
