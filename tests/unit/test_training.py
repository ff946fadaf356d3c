"""Training of the descriptor: the same pictures and batches every time, a stop costs nothing, the export is whole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch

from modules.errors import UsageError
from modules.features.copy_network import CopyNetwork
from modules.features.weights import digest, read_state_dict
from modules.records import UInt8Array
from training import __main__ as command
from training import loop
from training.__main__ import claimed, main
from training.edits import view
from training.loop import Plan, Views, contrast, export, make_batch, train
from training.pictures import SIDE, make_picture, make_stock

PLAN = Plan(seed=3, pictures=12, pairs=4, steps=4, warm_up=2)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_stock(tmp_path_factory.mktemp("stock"), PLAN.pictures, PLAN.seed, processes=1)


def pictures(stock: Path) -> UInt8Array:
    return np.asarray(np.load(stock), np.uint8)


def in_folder(stock: Path, folder: Path) -> Path:
    folder.mkdir()
    (folder / stock.name).write_bytes(stock.read_bytes())
    return folder


def test_a_picture_is_a_function_of_the_seed_and_its_number() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    for number in range(20):
        once, again, other = (
            make_picture(number, np.random.default_rng((seed, number)), [photo], []) for seed in (1, 1, 2)
        )
        assert once.shape == (SIDE, SIDE, 3)
        assert np.array_equal(once, again)
        assert not np.array_equal(once, other)


def test_a_folder_holds_a_stock_for_each_seed(stock: Path, tmp_path: Path) -> None:
    folder = in_folder(stock, tmp_path / "run")
    assert make_stock(folder, PLAN.pictures, PLAN.seed, processes=1) == folder / stock.name
    other = pictures(make_stock(folder, PLAN.pictures, PLAN.seed + 1, processes=1))
    assert np.array_equal(pictures(folder / stock.name), pictures(stock))
    made_up = [number for number in range(PLAN.pictures) if number % 3]  # the others are tiles, whatever the seed
    assert not any(np.array_equal(one, two) for one, two in zip(pictures(stock)[made_up], other[made_up], strict=True))


def test_a_stock_of_another_size_or_a_damaged_one_is_refused(stock: Path, tmp_path: Path) -> None:
    folder = in_folder(stock, tmp_path / "run")
    assert pictures(stock).shape == (PLAN.pictures, SIDE, SIDE, 3)
    with pytest.raises(UsageError, match=r"pictures-3\.npy .*remove it.* holds"):
        make_stock(folder, PLAN.pictures + 1, PLAN.seed, processes=1)
    for size in (0, 100, SIDE**2):
        (folder / stock.name).write_bytes(stock.read_bytes()[:size])
        with pytest.raises(UsageError, match=r"pictures-3\.npy .*remove it"):
            make_stock(folder, PLAN.pictures, PLAN.seed, processes=1)


def test_edits_grow_with_their_strength(stock: Path) -> None:
    picture, other = pictures(stock)[4:6]

    def change(strength: float) -> float:
        rng = np.random.default_rng(0)
        small = view(picture, picture, 96, np.random.default_rng(1), 0.0).astype(float)
        views = [view(picture, other, 96, rng, strength).astype(float) for _ in range(30)]
        return float(np.mean([np.abs(one - small).mean() for one in views]))

    assert change(0.0) < change(0.5) < change(1.0)


def test_a_batch_is_the_same_whoever_makes_it(stock: Path) -> None:
    one, other = (make_batch(pictures(stock), PLAN, 2) for _ in range(2))
    assert one[0].shape == (2, PLAN.pairs, 1, 96, 96)
    assert np.array_equal(one[0], other[0])
    third, fourth = Views(stock, PLAN, 2)
    assert np.array_equal(third[0], one[0])
    assert np.array_equal(third[1], one[1])
    assert not np.array_equal(fourth[0], one[0])


def test_the_loss_is_least_where_views_of_one_picture_are_nearest() -> None:
    torch.manual_seed(0)
    first = torch.nn.functional.normalize(torch.randn(6, 16), dim=1)
    numbers = torch.arange(6).repeat(2)
    right, all_right = contrast(torch.cat([first, first]), numbers, PLAN)
    wrong, none_right = contrast(torch.cat([first, first.roll(1, 0)]), numbers, PLAN)
    assert float(right) < float(wrong)
    assert (float(all_right), float(none_right)) == (1.0, 0.0)
    together: Any = torch.nn.functional.normalize(torch.ones(12, 16) + 0.01 * torch.randn(12, 16), dim=1)
    spread_out, _ = contrast(torch.cat([first, first]), numbers, replace(PLAN, entropy=1.0))
    close, _ = contrast(together, numbers, replace(PLAN, entropy=1.0))
    assert float(spread_out) < float(close)


def test_a_stop_costs_nothing_and_the_export_holds_what_was_learnt(
    stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = train(PLAN, in_folder(stock, tmp_path / "whole"), device="cpu", workers=0, every=2)
        stopped = in_folder(stock, tmp_path / "stopped")
        with monkeypatch.context() as patch:
            patch.setattr(loop, "_learn", _stopping(loop._learn, after=3))
            with pytest.raises(KeyboardInterrupt):
                train(PLAN, stopped, device="cpu", workers=0, every=2)
        resumed = train(PLAN, stopped, device="cpu", workers=0, every=2)
    finally:
        torch.set_num_threads(threads)
    expected = whole.state_dict()
    for name, numbers in resumed.state_dict().items():
        assert torch.equal(numbers, expected[name]), name
    assert [json.loads(line)["step"] for line in (stopped / "log.jsonl").read_text().splitlines()] == [2, 4]
    path = tmp_path / "descriptor.safetensors"
    assert export(resumed, PLAN, path) == digest(path)
    loaded = CopyNetwork()
    loaded.load_state_dict({name: numbers.float() for name, numbers in read_state_dict(path).items()})
    torch.testing.assert_close(loaded.head.weight, whole.head.weight, rtol=0.01, atol=1e-6)


def _stopping(learn: Callable[..., Any], after: int) -> Callable[..., Any]:
    """Learns so many steps, then is interrupted."""
    steps = iter(range(after))

    def learn_or_stop(*arguments: Any) -> Any:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return learn(*arguments)

    return learn_or_stop


def test_a_checkpoint_of_another_plan_is_refused_before_pictures_are_made(stock: Path, tmp_path: Path) -> None:
    folder = in_folder(stock, tmp_path / "run")
    short = replace(PLAN, steps=1)
    train(short, folder, device="cpu", workers=0)
    for other in (replace(short, rate=0.5), replace(short, seed=4)):
        with pytest.raises(UsageError, match="another plan"):
            train(other, folder, device="cpu", workers=0)
    assert [path.name for path in folder.glob("pictures*")] == [stock.name]


def test_a_damaged_checkpoint_is_named_before_pictures_are_made(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"network": CopyNetwork().state_dict()}, path)
    whole = path.read_bytes()
    for content in (whole, whole[: len(whole) // 2], b"", b"no checkpoint"):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"checkpoint\.pt cannot be used .*remove it") as refused:
            train(PLAN, tmp_path, device="cpu", workers=0)
        assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here, so its absence cannot be tried")
def test_a_checkpoint_that_a_gpu_wrote_goes_on_on_the_cpu(
    stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = in_folder(stock, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
        patch.setattr(loop, "_learn", _stopping(loop._learn, after=2))
        with pytest.raises(KeyboardInterrupt):
            train(PLAN, folder, device="cpu", workers=0, every=2)
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(folder / "checkpoint.pt", weights_only=True)
    train(PLAN, folder, device="cpu", workers=0, every=2)
    assert [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()] == [2, 4]


NO_GPU = ["cuda"] if not torch.cuda.is_available() else []


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        *(("--device", name) for name in ("nonsense", "", "cpu:0", f"cuda:{torch.cuda.device_count()}", *NO_GPU)),
        *(("--workers", text) for text in ("-1", "1.5", "many")),
        *(("--seed", text) for text in ("-1", str(2**64), "one")),
    ],
)
def test_a_bad_argument_ends_the_command_before_anything_is_written(
    flag: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "run"), flag, text])
    assert ended.value.code == 2
    assert f"error: argument {flag}: {text!r} is no " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_none_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "run"):
        with pytest.raises(SystemExit) as ended:
            main([str(folder)])
        assert ended.value.code == 2
        assert f"error: {folder} cannot be used as a folder" in capsys.readouterr().err
    assert file.stat().st_size == 0


def test_a_folder_holds_one_training_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    hold = (
        "import pathlib, sys; from training.__main__ import claimed\n"
        f"with claimed(pathlib.Path({str(folder)!r})): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(SystemExit) as ended:
            main([str(folder)])
        other.communicate()
    assert ended.value.code == 2
    assert f"error: another training is at work in {folder}" in capsys.readouterr().err
    assert not list(folder.glob("pictures*"))
    with claimed(folder):
        pass


def test_the_command_tells_the_digest_of_weights_that_name_their_seed(
    stock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = in_folder(stock, tmp_path / "run")
    monkeypatch.setattr(command, "Plan", lambda seed: replace(PLAN, seed=seed, steps=1))
    main([str(folder), "--seed", str(PLAN.seed), "--workers", "0"])
    path = folder / "descriptor.safetensors"
    assert capsys.readouterr().out == f"{path}: SHA-256 {digest(path)}\n"
    with safetensors.safe_open(path, "pt") as weights:
        assert json.loads(weights.metadata()["plan"])["seed"] == PLAN.seed
