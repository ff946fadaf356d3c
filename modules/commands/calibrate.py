"""``calibrate``: how near copies and different pictures of a source lie to each other, and which threshold parts them.

A sample is read, edited in memory and measured with the code of a job; nothing is written anywhere.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from modules.calibration.cosines import Spread, cosines_of, pairs_of
from modules.calibration.edits import EDITS
from modules.calibration.inputs import Inputs, inputs_of
from modules.calibration.page import Page
from modules.calibration.sample import Sample
from modules.commands.failover import Failover
from modules.deduplication import verify_pair
from modules.devices import Device
from modules.errors import InterruptedRunError, PictureError, UsageError
from modules.feature_extraction import Analyser, init_worker
from modules.features.base import Extractor
from modules.job import check_settings, choose_models, open_source
from modules.location import Location
from modules.matching.evidence import Size, evidence_of
from modules.matching.scenes import cosines
from modules.matching.thresholds import Match, Thresholds
from modules.outputs.listing_filter import ListingFilter
from modules.outputs.ownership import is_marker
from modules.progress import Progress
from modules.records import BlobInfo, Keypoints, Kind, Processed
from modules.settings import AzureCredentials, Settings
from modules.stages.fetch import read_blob
from modules.store_thread import StoreThread
from modules.worker_pool import WorkerCrashedError, WorkerPool

log = logging.getLogger(__name__)

#: Inputs of one picture: itself and its edits.
_EACH = 1 + len(EDITS)

T = TypeVar("T")
Float16Array = NDArray[np.float16]


def run(
    settings: Settings,
    credentials: AzureCredentials,
    progress: Progress,
    stop: threading.Event,
    *,
    sample: int,
) -> Page:
    """Measure ``sample`` pictures of the source; what to print. Writes nothing.

    Raises UsageError for a source without two usable pictures and for what a job would refuse, InterruptedRunError
    when ``stop`` is set, RetryLaterError when no device is left for the models.
    """
    models = check_settings(settings) or choose_models(settings, None)
    names = [extractor.name for extractor in models.extractors]
    thresholds: dict[Match, Thresholds] = {
        match: Thresholds.parse(match, settings.threshold if match == settings.match else (), names)
        for match in get_args(Match)
    }
    with _opened(settings, credentials) as (thread, prefix):
        measuring = _Measuring(settings, thread, prefix, models.extractors, models.devices, progress, stop)
        listed, blobs = measuring.sample(sample)
        measuring.measure(blobs)
        address = thread.store.address(prefix)
    if len(measuring.names) < 2:
        raise UsageError(f"calibrate needs two pictures that can be read, {address} has {len(measuring.names)}")
    spread, same = measuring.compare()
    if not len(spread.pairs):
        raise UsageError(f"calibrate needs different pictures: those of {address} are all the same one")
    return Page(
        source=address,
        listed=listed,
        names=measuring.names,
        spread=spread,
        same=same,
        unusable=measuring.unusable,
        repeated=measuring.repeated,
        thresholds=thresholds,
    )


@contextlib.contextmanager
def _opened(settings: Settings, credentials: AzureCredentials) -> Iterator[tuple[StoreThread, str]]:
    """The source's store and prefix. Raises UsageError when it cannot be listed."""
    source = Location.parse(settings.source)
    with contextlib.closing(StoreThread(open_source(settings, credentials))) as thread:
        thread.run(thread.store.check(source.prefix))
        yield thread, source.prefix


@dataclass(slots=True)
class _Measuring:
    """The sample while it is measured: a row a picture, in the order of the sample.

    vectors: per extractor, float16 (d,) each, as a state keeps them. copies: per extractor and edit, cosines with the
    picture. sizes (width, height), keypoints: what tells whether two of them are the same picture. unusable: pictures
    that could not be read or decoded. repeated: that had the bytes of another one. Memory: some 20 kB a picture, the
    inputs of one batch, and the bytes and inputs of a few pictures a process.
    """

    settings: Settings
    thread: StoreThread
    prefix: str
    extractors: list[Extractor]
    devices: list[Device]
    progress: Progress
    stop: threading.Event
    names: list[str] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    keypoints: list[Keypoints] = field(default_factory=list)
    vectors: dict[str, list[Float16Array]] = field(default_factory=dict)
    copies: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    unusable: int = 0
    repeated: int = 0

    def sample(self, count: int) -> tuple[int, list[BlobInfo]]:
        """How many pictures a job would list, and those of them whose names hash lowest."""
        self.progress.phase("listing", None)
        sample = Sample(count, self.prefix)
        keep = ListingFilter(lambda key: is_marker(self.thread, key))
        for page in self.thread.pages(self.prefix):
            self._advance(len(page.blobs))
            for blob in filter(keep, page.blobs):
                sample.add(blob)
        return sample.seen, sample.blobs()

    def measure(self, blobs: list[BlobInfo]) -> None:
        """Vectors by a device worker's code in full batches; kept are the originals' and the copies' cosines."""
        self.progress.phase("measuring", len(blobs))
        embed = Failover(self.extractors, self.devices)
        with WorkerPool(self.settings.num_process_workers, init_worker) as pool:
            inputs = itertools.chain.from_iterable(self._inputs(blobs, pool))
            embedded = itertools.chain.from_iterable(map(embed, _pieces(inputs, self.settings.batch_size)))
            for original, *copies in _pieces(embedded, _EACH):
                self._keep(original, copies)

    def _inputs(self, blobs: list[BlobInfo], pool: WorkerPool) -> Iterator[list[Processed]]:
        """Each picture and its edits, analysed; none that cannot be used or whose bytes were there before.

        Edits share their picture's time: they are small.
        """
        seen: set[bytes] = set()
        found: Inputs | PictureError | WorkerCrashedError
        for (_, _, name, _), found in pool.map(inputs_of, self._tasks(blobs), timeout=self.settings.picture_timeout):
            self._advance()
            if isinstance(found, WorkerCrashedError):
                self._leave_out(name, f"decoding it: {found}")
            elif isinstance(found, PictureError):
                self._leave_out(name, found)
            elif found.sha in seen:
                self.repeated += 1
            else:
                seen.add(found.sha)
                self.names.append(name)
                self.sizes.append(found.size)
                yield found.pictures

    def _tasks(self, blobs: list[BlobInfo]) -> Iterator[tuple[Analyser, BlobInfo, str, bytes]]:
        """What the processes get: pictures that can be read, each read when one of them will soon be free."""
        analyser = Analyser(tuple(self.extractors), self.settings.max_image_pixels)
        for blob in blobs:
            name = blob.key.removeprefix(self.prefix)
            try:
                data = self._read(blob)
            except PictureError as error:
                self.progress.advance()
                self._leave_out(name, error)
                continue
            yield analyser, blob, name, data

    def _leave_out(self, name: str, reason: object) -> None:
        log.warning("left out, %s: %s", name, reason)
        self.unusable += 1

    def _read(self, blob: BlobInfo) -> bytes:
        if blob.archived:
            raise PictureError("is in the archive tier")
        return self.thread.run(read_blob(self.thread.store, blob, self.settings.max_image_bytes))

    def _keep(self, original: Processed, copies: list[Processed]) -> None:
        """Note one picture's vector, its cosines with its copies, and its evidence."""
        if reason := next((one.failure for one in (original, *copies) if one.failure), None):
            place = len(self.keypoints)  # pictures come in the order of their names
            self._leave_out(self.names.pop(place), reason)
            self.sizes.pop(place)
            return
        if original.analysis is None or original.analysis.keypoints is None:
            raise AssertionError("an original's keypoints were asked for")
        self.keypoints.append(original.analysis.keypoints)
        for extractor in self.extractors:
            name = extractor.name
            vector = original.vectors[name].astype(np.float16)
            others = np.stack([copy.vectors[name].astype(np.float16) for copy in copies])
            self.vectors.setdefault(name, []).append(vector)
            edits = self.copies.setdefault(name, {edit.name: [] for edit in EDITS})
            found = cosines(extractor, np.tile(vector, (len(others), 1)), others)
            for values, cosine in zip(edits.values(), found.tolist(), strict=True):
                values.append(cosine)

    def compare(self) -> tuple[Spread, int]:
        """Cosines of the copies and of different pictures, and how many pairs were found to be the same picture."""
        pairs = pairs_of(len(self.names))
        self.progress.phase("comparing", len(pairs) * len(self.extractors))
        different = {
            extractor.name: cosines_of(pairs, np.stack(self.vectors[extractor.name]), extractor, self._advance)
            for extractor in self.extractors
        }
        copies = {name: {edit: np.array(found) for edit, found in edits.items()} for name, edits in self.copies.items()}
        spread = Spread(copies, pairs, different)
        looked: dict[tuple[int, ...], bool] = {}
        self.progress.phase("looking for the same pictures", None)
        while True:  # behind the most alike pairs that are the same picture lie the next most alike ones
            suspects = [(place, tuple(spread.pairs[place].tolist())) for place in spread.suspects()]
            fresh = [pair for _, pair in suspects if pair not in looked]
            looked |= {pair: self._is_same(*pair) for pair in fresh}
            same = [place for place, pair in suspects if looked[pair]]
            if not same:
                return spread, sum(looked.values())
            spread = spread.without(np.array(same))

    def _is_same(self, a: int, b: int) -> bool:
        """Whether geometry and pixels take two pictures for the same, or for overlapping ones."""
        self._advance()
        verdict = verify_pair(*(evidence_of(self.keypoints[n], self.sizes[n]) for n in (a, b)))
        return bool(verdict["kind"] != Kind.NONE)

    def _advance(self, count: int = 1) -> None:
        if self.stop.is_set():
            raise InterruptedRunError("calibrate was interrupted; nothing was written, run it again")
        self.progress.advance(count)


def _pieces(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one shorter."""
    rest = iter(items)
    while piece := list(itertools.islice(rest, size)):
        yield piece
