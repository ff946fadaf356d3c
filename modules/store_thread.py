"""The one thread that owns the event loop and the store on it; all others call into it and wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from modules.io_utils import Store
from modules.records import ListPage

T = TypeVar("T")


class StoreThread:
    """Owns one event loop in one thread and the store that lives on it; other threads call :meth:`run`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="store", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the store's loop, block until it is done, return or raise what it does."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def pages(self, prefix: str, *, marker: str | None = None, page_size: int = 2000) -> Iterator[ListPage]:
        """What :meth:`Store.list` gives, page by page as they are asked for."""
        listing = self.store.list(prefix, marker=marker, page_size=page_size)

        async def following() -> ListPage | None:
            return await anext(listing, None)

        while (page := self.run(following())) is not None:
            yield page

    def close(self) -> None:
        """Close the store and end the thread; what is still under way on the loop is cancelled."""
        self.run(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self.store.close()
