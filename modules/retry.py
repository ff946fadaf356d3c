"""The one retry loop: exponential backoff with full jitter, Retry-After, and the end of patience with a store.

Jitter: M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog 2015. Clock, sleep and chance injected.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from modules.errors import StoreAwayError, TransientError

T = TypeVar("T")
log = logging.getLogger(__name__)


class AgainError(Exception):
    """An attempt failed in a way that another one may mend.

    after: seconds that the service asked to wait. throttled: it asked for fewer requests, whatever they are.
    """

    def __init__(self, reason: str, after: float | None = None, *, throttled: bool = False) -> None:
        super().__init__(reason)
        self.after = after
        self.throttled = throttled


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """attempts: of one request. first, most: bounds of the backoff, in seconds. away: patience with a dead store."""

    attempts: int = 8
    first: float = 0.5
    most: float = 30.0
    away: float = 300.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


class Retry:
    """Repeats requests to one store, and knows when it last answered anyone.

    A request that has used up its attempts ends in TransientError if the store gave others good answers meanwhile:
    then the trouble is its own; being throttled is only after ``away`` seconds. If nobody had a good answer, it goes on
    until that has lasted for ``away`` seconds, and ends in StoreAwayError: so neither an outage nor a throttled account
    turns pictures into failed rows.
    """

    def __init__(self, options: RetryOptions) -> None:
        self.options = options
        self._answers = 0
        self._good_answers = 0
        self._good = options.clock()

    @property
    def ever_answered(self) -> bool:
        """Whether the store has answered anything yet."""
        return self._answers > 0

    def answered(self, *, good: bool) -> None:
        """Note an answer; a good one is anything but "not now"."""
        self._answers += 1
        if good:
            self._good_answers += 1
            self._good = self.options.clock()

    async def run(self, what: str, call: Callable[[], Awaitable[T]], *, attempts: int | None = None) -> T:
        """Call until it does not raise AgainError. ``attempts``: give up after so many, whatever the store does."""
        options = self.options
        began, good_answers = options.clock(), self._good_answers
        attempt = 0
        while True:
            attempt += 1
            try:
                return await call()
            except AgainError as error:
                if attempt >= (attempts or options.attempts):
                    alone = self._good_answers > good_answers
                    patient = error.throttled and options.clock() - began < options.away
                    hopeless = attempts is not None or (alone and not patient)
                    self._give_up(f"{what}: {error}, in {attempt} attempts", hopeless)
                delay = options.chance() * min(options.most, options.first * 2.0 ** min(attempt - 1, 30))
                if error.after is not None:
                    delay += error.after
                log.debug("%s: %s; attempt %d follows in %.1f s", what, error, attempt + 1, delay)
                await options.sleep(delay)

    def _give_up(self, text: str, hopeless: bool) -> None:
        """Raise, unless the store is silent to everybody and its time is not up yet."""
        quiet = self.options.clock() - self._good
        if quiet >= self.options.away:
            raise StoreAwayError(f"the store has not answered for {quiet:.0f} s ({text}): run again to resume")
        if hopeless:
            raise TransientError(text)
