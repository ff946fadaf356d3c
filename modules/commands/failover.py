"""What goes on where a device is lost, in commands that look at a few pictures: the choice that a run makes."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence

from modules.devices import Device, DeviceLostError, stand_in_for
from modules.errors import RetryLaterError
from modules.features.base import Extractor
from modules.records import Processed
from modules.stages.embed import Embedder

log = logging.getLogger(__name__)


def last_resort(devices: Sequence[Device], error: DeviceLostError) -> Device:
    """The CPU, after ``error`` of the last one of ``devices``. Raises RetryLaterError where they are the CPU anyhow."""
    stand_in = stand_in_for(devices)
    if stand_in is None:
        raise RetryLaterError(f"{error}, and no other device is left: free memory, run it again") from error
    log.warning("%s; no other device is left, the CPU goes on", error)
    return stand_in


class Failover:
    """Embeds on the first of the devices, on the next one when that is lost, on the CPU when all are."""

    def __init__(self, extractors: Sequence[Extractor], devices: Sequence[Device]) -> None:
        self._extractors = copy.deepcopy(list(extractors))  # without the models that the check has loaded
        self._device, *self._later = devices
        self._embedder = Embedder(extractors, self._device)

    def __call__(self, batch: list[Processed]) -> list[Processed]:
        """As :class:`Embedder` does it. Raises RetryLaterError when the CPU has too little memory for one picture."""
        while True:
            try:
                return self._embedder(batch)
            except DeviceLostError as error:
                self._device = self._successor(error)
            self._embedder = Embedder(copy.deepcopy(self._extractors), self._device)

    def _successor(self, error: DeviceLostError) -> Device:
        if not self._later:
            return last_resort([self._device], error)
        log.warning("%s; %s goes on", error, self._later[0].name)
        return self._later.pop(0)
