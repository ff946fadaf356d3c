"""The story of a run, from top to bottom: precheck, list, stream, match, plan, publish, report."""

from __future__ import annotations

import contextlib
import copy
import itertools
import logging
import threading
import time
from datetime import UTC, datetime

import numpy as np

from modules.deduplication import same_picture, same_scene
from modules.devices import stand_in_for
from modules.distributed_processor import Bounds, Stream
from modules.errors import ImgsieveError, InterruptedRunError, LeaseHeldError
from modules.feature_extraction import (
    DECODER_VERSION,
    Analyser,
    facts_fingerprint,
    keypoints_fingerprint,
)
from modules.features.base import Extractor
from modules.job import Job, prepare
from modules.local_files import remove_empty_folders
from modules.matching.keep import Keep
from modules.matching.thresholds import Thresholds
from modules.outputs.finish import finish, finish_dry_run, run_document
from modules.outputs.ledger import Ledger
from modules.outputs.plan import Plan, write_plan
from modules.outputs.publish import Publisher, PublishResult
from modules.outputs.report import make_reports
from modules.outputs.survey import survey
from modules.progress import Progress
from modules.quality.score import score
from modules.records import Effort, Grade, Kind, Pictures, RunSummary
from modules.settings import AzureCredentials, Settings
from modules.stages.analyse import Analyse
from modules.stages.embed import Embedder
from modules.stages.fetch import Fetcher
from modules.stages.listing import freeze_listing
from modules.stages.look import Looker
from modules.stages.pair_work import HeldKeypoints, PairContext
from modules.stages.save import ShardSaver
from modules.stages.verify import Verifier
from modules.state.arrays import load_codes, load_vectors
from modules.state.commit import Families, commit_claims, load_index
from modules.state.index import ScratchIndex
from modules.state.listing import last_listing_part, read_listing_parts
from modules.state.shards import ShardWriter
from modules.state.tidy import remove_past_runs

log = logging.getLogger(__name__)

KINDS = {"copy": Kind.COPY, "part": Kind.PART, "embedded": Kind.EMBEDDED}


def run(settings: Settings, credentials: AzureCredentials, progress: Progress, stop: threading.Event) -> RunSummary:
    """Run or resume the job that ``settings`` describe; set ``stop`` to end it early with all work kept.

    Raises UsageError before any work when it cannot be done as asked, RetryLaterError when running again resumes it,
    and any other ImgsieveError when it failed.
    """
    with prepare(settings, credentials, progress, stop) as job:
        families = families_of(job.extractors, settings.effort)
        writer = ShardWriter(job.thread, job.layout.state, job.manifest.epoch, job.manifest.attempt)
        list_pictures(job)
        with contextlib.closing(ScratchIndex(job.scratch / "index.sqlite", decoder_of(settings))) as index:
            downloaded = stream_pictures(job, families, writer, index)
            match_pictures(job, families, writer, index)
            return publish_pictures(job, writer, index, downloaded)


def list_pictures(job: Job) -> None:
    """Freeze the epoch's listing, once; one whose parts were taken away is made anew."""
    last = last_listing_part(job.thread, job.layout.state, job.manifest.epoch)
    if job.manifest.parts is not None and last is not None:
        return
    job.enter("listing")
    job.progress.phase("listing", None)
    parts = freeze_listing(
        job.thread,
        job.layout.source,
        job.layout.state,
        job.manifest.epoch,
        part_size=job.settings.listing_part,
        cancel=job.cancel,
        advance=job.progress.advance,
    )
    job.enter("streaming", parts=parts)


def stream_pictures(job: Job, families: Families, writer: ShardWriter, index: ScratchIndex) -> int:
    """Download, measure and commit every picture that the state lacks; how many were downloaded."""
    for part in read_listing_parts(job.thread, job.layout.state, job.manifest.epoch):
        index.add_listing(part.part, part.blobs)
        index.add_companions(part.companions)
    load_index(index, job.thread, job.layout.state, families)
    settings = job.settings
    job.progress.phase("streaming", index.pending(families.all))
    fetcher = Fetcher(job.thread.store, index, settings.max_image_bytes)
    saver = ShardSaver(
        writer,
        index,
        families,
        decoder=decoder_of(settings),
        shard_rows=settings.shard_rows,
        shard_bytes=settings.shard_bytes,
        shard_seconds=settings.shard_seconds,
        advance=job.progress.advance,
    )
    analyse = Analyse(Analyser(tuple(job.extractors), settings.max_image_pixels, settings.effort), families)
    embedders, stand_in = embedders_of(job)
    # Blobs that are claimed equal wait for the first of them, and are on their own only where that one failed.
    for exact_pass in (True, False):
        work = (index.work(part, families.all, exact_pass=exact_pass) for part in index.parts())
        Stream(job.thread, bounds_of(settings), job.pool, job.cancel).run(
            itertools.chain.from_iterable(work),
            fetch=fetcher,
            analyse=analyse,
            embedders=embedders,
            saver=saver,
            stand_in=stand_in,
        )
        job.progress.advance(commit_claims(writer, index))
    return fetcher.downloaded


def embedders_of(job: Job) -> tuple[list[Embedder], Embedder | None]:
    """One for each device, with replicas of its own, and the one that steps in when all of them are lost."""
    last_resort = stand_in_for(job.devices)
    # The first one takes the models that the check has loaded; copies leave them behind, the job's own too.
    loaded, job.extractors = job.extractors, copy.deepcopy(job.extractors)
    embedders = [Embedder(copy.deepcopy(job.extractors), device) for device in job.devices[1:]]
    stand_in = Embedder(copy.deepcopy(job.extractors), last_resort) if last_resort else None
    return [Embedder(loaded, job.devices[0]), *embedders], stand_in


def match_pictures(job: Job, families: Families, writer: ShardWriter, index: ScratchIndex) -> None:
    """Decide which pictures are the same and which copy is kept; the index holds the decisions after this."""
    settings = job.settings
    job.enter("matching")
    job.progress.phase("matching", None)
    index.number_pictures(families.all)
    keep = Keep.parse(settings.keep)
    pictures = index.pictures(score, keep.order, job.layout.source)
    vectors = {
        extractor.name: (
            load_vectors(index, job.thread, job.layout.state, families.vectors[extractor.name], extractor.dim),
            extractor,
        )
        for extractor in job.extractors
    }
    thresholds = Thresholds.parse(settings.match, settings.threshold, list(vectors))
    if settings.match == "same-scene":
        grouping = same_scene(pictures, vectors, thresholds, settings.k, judged=job.advance)
    else:
        accepted = {KINDS[name] for name in settings.relations}
        around = pairs_of(job, families, writer, index, pictures)
        keypoints = HeldKeypoints(around)
        strict = Grade.of(settings.strictness) == Grade.STRICT
        limits = {"max_bytes": settings.max_image_bytes, "max_pixels": settings.max_image_pixels}
        with contextlib.ExitStack() as stack:
            # Where a closer look decides, all that may be the same is proposed to it.
            least = Grade.LENIENT if strict else Grade.of(settings.strictness)
            verifier = stack.enter_context(contextlib.closing(Verifier(around, keypoints, least)))
            looker = stack.enter_context(contextlib.closing(Looker(around, keypoints, **limits))) if strict else None
            grouping = same_picture(
                pictures,
                vectors,
                load_codes(index, job.thread, job.layout.state, families.codes, job.scratch / "codes.bin"),
                thresholds,
                effort=settings.effort,
                k=settings.k,
                verify=verifier,
                look=looker,
                accepted=accepted,
                any_resolution=keep.any_resolution,
            )
    index.set_grouping(grouping.keeper, grouping.verdict, np.asarray(pictures.quality))


def pairs_of(job: Job, families: Families, writer: ShardWriter, index: ScratchIndex, pictures: Pictures) -> PairContext:
    """What the stages that compare pairs work with."""
    return PairContext(
        job.thread,
        state_prefix=job.layout.state,
        writer=writer,
        index=index,
        pictures=pictures,
        keypoints_family=families.keypoints,
        pool=job.pool,
        cancel=job.cancel,
        scratch=job.scratch,
        shard_rows=8 * job.settings.shard_rows,  # a verdict is small: some 150 bytes
        shard_seconds=job.settings.shard_seconds,
        advance=job.progress.advance,
    )


def publish_pictures(job: Job, writer: ShardWriter, index: ScratchIndex, downloaded: int) -> RunSummary:
    """Write the plan, carry it out, and leave the report, ``_SUCCESS`` last; in a dry run the report only."""
    job.enter("publishing")
    address, fence = job.thread.store.address, job.manifest_file.fence
    plan = write_plan(job.thread, writer, job.layout, job.manifest.epoch, index.decisions, uniques=job.settings.uniques)
    with Ledger(job.scratch / "ledger.sqlite") as ledger:
        todo = survey(job.thread, job.layout, ledger, plan.rows())
        published = PublishResult(todo.copies, todo.removals, todo.foreign)  # of a dry run
        if not job.settings.dry_run:
            job.progress.phase("publishing", todo.copies + todo.removals)
            publisher = Publisher(
                job.thread,
                job.layout,
                writer,
                ledger,
                fence=fence,
                stop=job.cancel.check,
                connections=job.settings.num_azure_connections,
                advance=job.progress.advance,
            )
            published = publisher.publish()
            if job.on_disk:
                remove_empty_folders(job.layout.best, job.layout.duplicates)
        reports = make_reports(job.scratch, address, plan.rows(), index.failures(), ledger)
    summary = summarise(job, index, plan, published, downloaded)
    if job.settings.dry_run:
        finish_dry_run(job.thread, job.layout, reports, fence)
    else:
        document = run_document(summary, job.settings, job.started, datetime.now(UTC))
        finish(job.thread, job.layout, reports, counts=plan.counts, failed=summary.failed, run=document, fence=fence)
    job.enter("done")
    tidy_up(job, plan)
    return summary


def tidy_up(job: Job, plan: Plan) -> None:
    """Remove what earlier runs left. The result is whole by now: what goes wrong here is logged, and no failed run."""
    try:
        remove_past_runs(job.thread, job.layout.state, job.manifest.epoch, plan.shards)
    except (InterruptedRunError, LeaseHeldError):
        raise
    except ImgsieveError as error:
        log.warning("what earlier runs left is not tidied away: %s", error)


def summarise(job: Job, index: ScratchIndex, plan: Plan, published: PublishResult, downloaded: int) -> RunSummary:
    """What the run did."""
    layout = job.layout.dry() if job.settings.dry_run else job.layout
    failed = index.failed() + published.failed
    address = job.thread.store.address
    return RunSummary(
        run_id=job.manifest.run_id,
        epoch=job.manifest.epoch,
        resumed=job.resumed,
        listed=index.listed(),
        downloaded=downloaded,
        pictures=plan.counts.rows,
        groups=plan.counts.groups,
        duplicates=plan.counts.duplicates,
        bytes_saved=plan.counts.bytes_saved,
        failed=failed,
        copied=published.copied,
        removed=published.removed,
        requests=job.thread.store.requests,
        seconds=time.monotonic() - job.clock,
        dry_run=job.settings.dry_run,
        output=address(job.layout.output),
        report=address(layout.report),
        failed_report=address(layout.failed_report) if failed else None,
    )


def families_of(extractors: list[Extractor], effort: Effort) -> Families:
    """The shard families that today's code and these extractors read and write."""
    vectors = {extractor.name: f"{extractor.family}/{extractor.fingerprint}" for extractor in extractors}
    return Families.of(facts_fingerprint(effort), keypoints_fingerprint(effort), vectors)


def decoder_of(settings: Settings) -> str:
    """What a picture's failure is believed of: another decoder, or another limit, tries it again."""
    return f"{DECODER_VERSION}-{settings.max_image_pixels}-{settings.picture_timeout:g}"


def bounds_of(settings: Settings) -> Bounds:
    """How much may be under way at once."""
    return Bounds(
        min_download_workers=settings.min_download_workers,
        max_download_workers=settings.max_download_workers,
        num_process_workers=settings.num_process_workers,
        batch_size=settings.batch_size,
        queue_items=settings.queue_items,
        queue_bytes=settings.queue_bytes,
        picture_timeout=settings.picture_timeout,
    )
