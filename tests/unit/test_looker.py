"""The look stage: pairs by thumbnails and by pictures read again, cached in shards."""

import io
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.bounded_queue import Cancellation
from modules.errors import PictureError, RetryLaterError
from modules.feature_extraction import LOOK_BYTES, Analyser, small_enough
from modules.features.decode import decode
from modules.matching.evidence import evidence_of
from modules.matching.keep import Keep
from modules.matching.relations import Verdicts, orient
from modules.matching.verdicts import verify_pair
from modules.quality.score import score
from modules.records import BlobInfo, Kind, LookLevel, Processed
from modules.stages import look
from modules.stages.look import Looker, looks_family
from modules.stages.pair_work import HeldKeypoints, PairContext
from modules.worker_pool import WorkerPool
from tests.drawings import leaves
from tests.state import FAMILIES, STATE, WANTED, State, item, processed

PAIR = np.array([[0, 1]], np.int32)


def no_setup() -> None:
    """The initializer of these tests' worker processes."""


def killed(*arguments: object) -> Verdicts:
    """Stands for memory that runs out in a worker."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def files() -> dict[str, bytes]:
    """Two shots: the same leaves, a small picture pasted at two places."""
    found = {}
    for name, place in (("a", (40, 60)), ("b", (200, 140))):
        picture = leaves(1, (320, 240)).convert("RGB")
        picture.paste(leaves(9, (44, 44)).convert("RGB"), place)
        out = io.BytesIO()
        picture.save(out, "PNG")
        found[name] = out.getvalue()
    return found


class Setting:
    """Two pictures in a store, their keypoints in the state, and what a looker needs of them."""

    def __init__(self, folder: Path) -> None:
        self.state, self.folder = State(folder), folder
        self.advanced = 0
        self.blobs: list[BlobInfo] = []
        analyser = Analyser((), 10**8)
        rows: list[Processed] = []
        for name, data in files().items():
            etag = self.state.thread.run(self.state.store.write(f"c/in/{name}", data))
            self.blobs.append(BlobInfo(f"c/in/{name}", len(data), etag))
        index, writer = self.state.start(self.blobs)
        self.evidence = []
        for blob, data in zip(self.blobs, files().values(), strict=True):
            analysis = analyser.analyse(data, facts=True, keypoints=True, extractors=frozenset())
            assert analysis.keypoints is not None
            assert analysis.facts is not None
            self.evidence.append(evidence_of(analysis.keypoints, (analysis.facts.width, analysis.facts.height)))
            row = processed(item(blob), blob.key)
            rows.append(replace(row, analysis=analysis))
        self.state.commit(index, writer, rows)

    def looker(self, pool: WorkerPool, name: str) -> Looker:
        """As a new start makes it."""
        scratch = self.folder / name
        scratch.mkdir()
        index, writer = self.state.start(self.blobs)
        index.number_pictures(WANTED)
        around = PairContext(
            self.state.thread,
            state_prefix=STATE,
            writer=writer,
            index=index,
            pictures=index.pictures(score, Keep.parse(["quality"]).order, "c/in/"),
            keypoints_family=FAMILIES.keypoints,
            pool=pool,
            cancel=Cancellation(threading.Event()),
            scratch=scratch,
            shard_rows=10,
            shard_seconds=1000.0,
            advance=lambda count: None,
        )
        return Looker(around, HeldKeypoints(around), max_bytes=10**7, max_pixels=10**8)

    def verdicts(self) -> Verdicts:
        """Of the pair, by its thumbnails' first comparison."""
        found = verify_pair(*self.evidence)
        assert found["kind"] == Kind.COPY  # that is what only a closer look tells
        return found[None]


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    made.state.close()


@pytest.fixture
def always_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "needs_pictures", lambda verdicts, damaged: np.ones(len(verdicts), np.bool_))


@pytest.mark.usefixtures("always_in_doubt")
def test_a_pair_in_doubt_is_read_once_and_never_again(setting: Setting) -> None:
    with WorkerPool(1, no_setup) as pool:
        first = setting.looker(pool, "first")
        found = first(PAIR, setting.verdicts())
        assert (found["kind"][0], found["looked"][0], first.read) == (Kind.NONE, LookLevel.PICTURES, 2)
        first.close()
        shards = setting.state.keys(looks_family(FAMILIES.keypoints))
        second = setting.looker(pool, "second")
        again = second(PAIR, setting.verdicts())
        assert (again["confidence"][0], second.read) == (found["confidence"][0], 0)
        assert setting.state.keys(looks_family(FAMILIES.keypoints)) == shards
        second.close()


@pytest.mark.usefixtures("always_in_doubt")
def test_a_look_does_not_depend_on_which_picture_comes_first(setting: Setting) -> None:
    with WorkerPool(1, no_setup) as pool:
        looker = setting.looker(pool, "one")
        found = looker(PAIR, setting.verdicts())
        turned = looker._around.canonical(PAIR)[1]
        looker.close()
        box = found["box_b"][0] if turned[0] else found["box_a"][0]
        assert orient(orient(found))["confidence"] == found["confidence"]
        assert (box[2:] > box[:2]).all()


@pytest.mark.usefixtures("always_in_doubt")
def test_a_picture_that_is_gone_confirms_nothing_and_is_asked_again(
    setting: Setting, caplog: pytest.LogCaptureFixture
) -> None:
    setting.state.thread.run(setting.state.store.delete("c/in/b", if_match=setting.blobs[1].etag))
    with WorkerPool(1, no_setup) as pool:
        looker = setting.looker(pool, "one")
        assert looker(PAIR, setting.verdicts())["kind"].tolist() == [Kind.NONE]
        looker.close()
    assert "c/in/b is gone since it was listed" in caplog.text
    assert setting.state.keys(looks_family(FAMILIES.keypoints)) == []


def test_killed_workers_leave_no_look_that_nobody_took(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "thumbs_task", killed)
    with WorkerPool(1, no_setup) as pool:
        looker = setting.looker(pool, "one")
        with pytest.raises(RetryLaterError, match="run again"):
            looker(PAIR, setting.verdicts())
        looker.close()
    assert setting.state.keys(looks_family(FAMILIES.keypoints)) == []


def test_large_files_are_kept_as_their_working_pictures_and_others_as_they_are() -> None:
    small = files()["a"]
    assert small_enough(small, 10**8) == small
    out = io.BytesIO()
    Image.effect_noise((1500, 1000), 90).save(out, "PNG")
    large = out.getvalue()
    assert len(large) > LOOK_BYTES
    kept = small_enough(large, 10**8)
    assert isinstance(kept, bytes)
    np.testing.assert_array_equal(decode(kept, 10**8).rgb, decode(large, 10**8).rgb)
    assert isinstance(small_enough(bytes(LOOK_BYTES + 1), 10**8), PictureError)
