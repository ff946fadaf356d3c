"""A world to publish in: a store whose user may die at any request, a source, and whole runs of publishing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from modules.memory_store import MemoryStore
from modules.outputs.finish import finish
from modules.outputs.layout import Layout
from modules.outputs.ledger import Ledger
from modules.outputs.plan import write_plan
from modules.outputs.publish import Publisher, PublishResult
from modules.outputs.report import make_reports
from modules.outputs.survey import Survey, survey
from modules.records import BlobInfo, Decision, Failure
from modules.state.shards import ShardWriter
from modules.store_thread import StoreThread
from tests.decisions import decision

LAYOUT = Layout("c/in/", "c/out/", "c/out/_state/")
Groups = list[list[str]]


class KilledError(Exception):
    """The process is gone: nothing that it asks for happens any more."""


class MortalStore(MemoryStore):
    """A store whose user dies: request number ``last`` is the last one to be carried out, its answer may be lost."""

    def __init__(self, *, md5: bool = True) -> None:
        super().__init__()
        self.md5 = md5
        self.last: int | None = None
        self.answer_lost = False
        self.on_request = self._ask

    def _ask(self, operation: str, key: str) -> None:
        if self.last is not None and self.requests > self.last:
            raise KilledError(f"{operation} {key}")

    def _answer(self) -> None:
        if self.last is not None and self.requests >= self.last and self.answer_lost:
            raise KilledError("the answer is lost")

    def _info(self, key: str) -> BlobInfo:
        info = super()._info(key)
        return info if self.md5 else replace(info, md5=None)

    async def write(self, key: str, data: bytes | Path, *, if_match: str | None = None, if_absent: bool = False) -> str:
        etag = await super().write(key, data, if_match=if_match, if_absent=if_absent)
        self._answer()
        return etag

    async def copy(self, source: str, target: str, *, source_etag: str) -> str:
        etag = await super().copy(source, target, source_etag=source_etag)
        self._answer()
        return etag

    async def delete(self, key: str, *, if_match: str) -> None:
        await super().delete(key, if_match=if_match)
        self._answer()


def nothing() -> None:
    """Neither a fence nor a stop."""


@dataclass
class World:
    """A source and an output in one store, and runs of publishing on them."""

    thread: StoreThread
    folder: Path
    layout: Layout = LAYOUT
    attempt: int = 0
    fence: Callable[[], None] = nothing
    stop: Callable[[], None] = nothing
    advanced: list[int] = field(default_factory=list)
    surveyed: Survey | None = None
    failures: list[Failure] = field(default_factory=list)

    def decisions(self, groups: Groups) -> list[Decision]:
        """The first name of each group is the best one; blobs as they are now."""
        made = []
        for number, names in enumerate(groups, 1):
            for name in names:
                key = self.layout.source + name
                content = self.thread.run(self.thread.store.read(key))
                made.append(
                    decision(
                        key,
                        group=number,
                        group_size=len(names),
                        best=name == names[0],
                        etag=content.etag,
                        data=content.data,
                        seed=number,
                    )
                )
        return made

    def run(self, decisions: list[Decision], *, batch: int = 3) -> PublishResult:
        """One attempt, from the plan to ``_SUCCESS``."""
        self.attempt += 1
        writer = ShardWriter(self.thread, self.layout.state, 1, self.attempt)
        plan = write_plan(self.thread, writer, self.layout, 1, lambda: iter(decisions), uniques="copy")
        folder = self.folder / f"{self.attempt}"
        folder.mkdir()
        with Ledger(folder / "ledger.sqlite") as ledger:
            self.surveyed = survey(self.thread, self.layout, ledger, plan.rows())
            publisher = Publisher(
                self.thread,
                self.layout,
                writer,
                ledger,
                fence=self.fence,
                stop=self.stop,
                connections=2,
                advance=lambda: self.advanced.append(1),
                batch=batch,
            )
            result = publisher.publish()
            self.failures = list(ledger.failures())
            reports = make_reports(folder, self.thread.store.address, plan.rows(), iter(()), ledger)
            run = {"attempt": self.attempt}
            finish(
                self.thread, self.layout, reports, counts=plan.counts, failed=result.failed, run=run, fence=self.fence
            )
        return result


def put(store: MemoryStore, key: str, data: bytes) -> None:
    store._put(key, data)


def results(store: MemoryStore) -> dict[str, bytes]:
    """What must not depend on kills: everything but the state and the account of the last attempt."""
    return {
        key: blob.data
        for key, blob in store.blobs.items()
        if not key.startswith(LAYOUT.state) and key != LAYOUT.run_file
    }


def filled(store: MemoryStore, names: str) -> None:
    for name in names:
        put(store, f"c/in/{name}.jpg", f"picture {name}".encode())


GROUPS = [["a.jpg", "b.jpg"], ["c.jpg"], ["d.jpg", "e.jpg", "f.jpg"], ["g.jpg"]]


def second_act(store: MemoryStore) -> None:
    """After a first publishing: sources change, somebody edits a copy, foreign files turn up."""
    put(store, "c/in/b.jpg", b"picture b, changed")
    put(store, "c/in/h.jpg", b"picture h")
    put(store, "c/in/i.jpg", b"picture i")
    put(store, "c/out/best/h.jpg", b"somebody else's")
    put(store, "c/out/best/other.txt", b"somebody else's")
    put(store, "c/out/duplicates/f.jpg", b"edited by hand")
    put(store, "c/out/duplicates/i.jpg", b"picture i")  # not ours, though its bytes are right
    del store.blobs["c/out/best/g.jpg"]
    del store.blobs["c/in/c.jpg"]


FOREIGN = ("c/out/best/h.jpg", "c/out/best/other.txt", "c/out/duplicates/f.jpg", "c/out/duplicates/i.jpg")
LATER = [["b.jpg", "a.jpg"], ["d.jpg", "e.jpg"], ["f.jpg"], ["g.jpg", "i.jpg"], ["h.jpg"]]
