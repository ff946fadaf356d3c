"""Training of the descriptor: the same pictures and batches every time, a stop costs nothing, the export is whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modules.errors import UsageError
from modules.features.copy_network import CopyNetwork
from modules.features.weights import digest, read_state_dict
from modules.records import UInt8Array
from training import loop
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


def test_a_checkpoint_of_another_plan_is_refused(stock: Path, tmp_path: Path) -> None:
    folder = in_folder(stock, tmp_path / "run")
    short = replace(PLAN, steps=1)
    train(short, folder, device="cpu", workers=0)
    with pytest.raises(SystemExit, match="another plan"):
        train(replace(short, rate=0.5), folder, device="cpu", workers=0)
