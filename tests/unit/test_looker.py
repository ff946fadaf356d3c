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
from tests.state import FAMILIES, STATE, WANTED, State, item, processed, sha

PAIR = np.array([[0, 1]], np.int32)


def no_setup() -> None:
    """The initializer of these tests' worker processes."""


def killed(*arguments: object) -> Verdicts:
    """Stands for memory that runs out in a worker."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def broken(*arguments: object) -> Verdicts:
    """Stands for a picture that crashes a library."""
    os._exit(3)


def files(names: str = "ab") -> dict[str, bytes]:
    """Shots, in the order of their names: the same leaves, a small picture pasted at another place in each."""
    found = {}
    for name, place in zip(names, ((40, 60), (200, 140), (120, 30)), strict=False):
        picture = leaves(1, (320, 240)).convert("RGB")
        picture.paste(leaves(9, (44, 44)).convert("RGB"), place)
        out = io.BytesIO()
        picture.save(out, "PNG")
        found[name] = out.getvalue()
    return found


class Setting:
    """Pictures in a store, by name, their keypoints in the state, and what a looker needs of them."""

    def __init__(self, folder: Path, contents: dict[str, bytes]) -> None:
        self.state, self.folder = State(folder), folder
        self.blobs: list[BlobInfo] = []
        analyser = Analyser((), 10**8)
        rows: list[Processed] = []
        for name, data in contents.items():
            etag = self.state.thread.run(self.state.store.write(f"c/in/{name}", data))
            self.blobs.append(BlobInfo(f"c/in/{name}", len(data), etag))
        index, writer = self.state.start(self.blobs)
        self.evidence = []
        for blob, data in zip(self.blobs, contents.values(), strict=True):
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

    def verdicts(self, first: int = 0, second: int = 1) -> Verdicts:
        """Of a pair, by its thumbnails' first comparison."""
        found = verify_pair(self.evidence[first], self.evidence[second])
        assert found["kind"] == Kind.COPY  # that is what only a closer look tells
        return found[None]


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path, files())
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


def named(ascending: bool) -> str:
    """Two names of pictures, in the order of the alphabet, whose SHA-256 rise, or fall."""
    return next("a" + b for b in "bcdefghij" if (sha("c/in/a") < sha(f"c/in/{b}")) == ascending)


@pytest.mark.usefixtures("always_in_doubt")
def test_a_look_does_not_depend_on_which_picture_comes_first(tmp_path: Path) -> None:
    """It goes from the lower SHA-256 to the higher one; numbers follow the names."""
    found = []
    with WorkerPool(1, no_setup) as pool:
        for ascending in (True, False):
            first, second = files().values()
            names = named(ascending)
            contents = dict(zip(names, (first, second) if ascending else (second, first), strict=True))
            folder = tmp_path / names
            folder.mkdir()
            setting = Setting(folder, contents)
            looker = setting.looker(pool, "looker")
            verdicts = setting.verdicts() if ascending else orient(setting.verdicts(1, 0))
            found.append(looker(PAIR, verdicts)[0])
            looker.close()
            setting.state.close()
    assert found[1]["confidence"] == pytest.approx(found[0]["confidence"], abs=0.01)
    for name, other in (("box_a", "box_b"), ("box_b", "box_a")):
        np.testing.assert_allclose(found[0][name], found[1][other], atol=0.01)
        assert (found[0][name][2:] > found[0][name][:2]).all()


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


@pytest.mark.usefixtures("always_in_doubt")
def test_pictures_are_read_once_for_all_their_pairs_and_so_is_one_that_is_gone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setting = Setting(tmp_path, files("abc"))
    setting.state.thread.run(setting.state.store.delete("c/in/b", if_match=setting.blobs[1].etag))
    with WorkerPool(1, no_setup) as pool:
        looker = setting.looker(pool, "one")
        looked, read = [], []
        for pair in ((0, 1), (1, 2), (0, 2)):
            verdict = looker(np.array([pair], np.int32), setting.verdicts(*pair))
            looked.append(int(verdict["looked"][0]))
            read.append(looker.read)
        looker.close()
    setting.state.close()
    assert looked == [LookLevel.NONE, LookLevel.NONE, LookLevel.PICTURES]
    assert read == [2, 3, 3]
    assert caplog.text.count("c/in/b is gone since it was listed") == 1


@pytest.mark.usefixtures("always_in_doubt")
def test_what_cannot_be_made_smaller_is_told_and_confirms_nothing(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(look, "small_enough", broken)
    with WorkerPool(1, no_setup) as pool:
        looker = setting.looker(pool, "one")
        assert looker(PAIR, setting.verdicts())["kind"].tolist() == [Kind.NONE]
        looker.close()
    assert "c/in/a the worker process died (exit code 3)" in caplog.text
    assert setting.state.keys(looks_family(FAMILIES.keypoints)) == []


@pytest.mark.parametrize("task", ["thumbs_task", "pictures_task"])
@pytest.mark.usefixtures("always_in_doubt")
def test_pictures_that_crash_a_process_are_named_and_not_joined(
    task: str, setting: Setting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(look, task, broken)
    with WorkerPool(1, no_setup) as pool:
        looker = setting.looker(pool, "one")
        assert looker(PAIR, setting.verdicts())["kind"].tolist() == [Kind.NONE]
        assert looker.read == (2 if task == "pictures_task" else 0)
        looker.close()
    (warning,) = [message for message in caplog.messages if "taken as different" in message]
    assert all(sha(blob.key).hex() in warning for blob in setting.blobs)
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
