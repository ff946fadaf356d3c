"""The shipped descriptor: its file is the one that was trained, and copies lie nearer than other pictures."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.devices import Device
from modules.errors import UsageError
from modules.features import descriptor
from modules.features.base import Extractor
from modules.features.copy_network import DIM, CopyNetwork
from modules.features.registry import needs_models, resolve
from modules.features.weights import digest
from modules.records import Float32Array, UInt8Array
from tests.drawings import leaves
from tests.edits import EDITS

ORIGINALS = [leaves(seed, (240, 180)) for seed in range(24)]


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    (found,) = resolve(["descriptor"])
    found.setup(Device("cpu", "float32", 8, 1))
    return found


def pixels(picture: Image.Image) -> UInt8Array:
    return np.asarray(picture.convert("RGB"), np.uint8)


def vectors(extractor: Extractor, pictures: Sequence[Image.Image]) -> Float32Array:
    return extractor.embed(np.stack([extractor.prepare(pixels(picture)) for picture in pictures]))


def test_the_file_is_small_and_the_one_that_is_told_of(extractor: Extractor) -> None:
    assert digest(descriptor.WEIGHTS) == descriptor.SHA256
    assert descriptor.WEIGHTS.stat().st_size <= 10_000_000
    assert needs_models([extractor])
    assert (extractor.name, extractor.family, extractor.dim) == ("descriptor", "descriptor", DIM)


@pytest.mark.parametrize("edit", ["jpeg30", "flip", "crop20", "rotate5", "border", "sticker", "caption", "quarter"])
def test_the_nearest_of_an_edit_is_its_original(extractor: Extractor, edit: str) -> None:
    assert recall(extractor, edit) == 1.0


@pytest.mark.parametrize("edit", ["crop50", "rotate25"])
def test_so_it_is_of_most_strong_ones(extractor: Extractor, edit: str) -> None:
    assert recall(extractor, edit) >= 0.8  # chance is one in 24


def recall(extractor: Extractor, edit: str) -> float:
    """Share of the originals that are the nearest of all to their copy."""
    copies = [Image.open(io.BytesIO(EDITS[edit].apply(picture, n))) for n, picture in enumerate(ORIGINALS)]
    cosines = vectors(extractor, copies) @ vectors(extractor, ORIGINALS).T
    return float((cosines.argmax(axis=1) == np.arange(len(ORIGINALS))).mean())


def test_colour_and_plain_borders_say_nothing(extractor: Extractor) -> None:
    grey = ORIGINALS[0].convert("L")
    framed = Image.new("RGB", (grey.width + 80, grey.height + 60), "white")
    framed.paste(grey, (40, 30))
    one, other = vectors(extractor, [grey, framed])
    assert one @ other >= 0.98


def test_a_vector_does_not_depend_on_its_batch(extractor: Extractor) -> None:
    inputs = np.stack([extractor.prepare(pixels(picture)) for picture in ORIGINALS])
    together = extractor.embed(inputs)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for count in (1, 3, 8, 11):
        assert np.array_equal(extractor.embed(inputs[-count:]), together[-count:])


def test_another_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "descriptor.safetensors"
    damaged.write_bytes(descriptor.WEIGHTS.read_bytes()[:-1] + b"!")
    monkeypatch.setattr(descriptor, "WEIGHTS", damaged)
    with pytest.raises(UsageError, match=rf"^descriptor: {damaged} cannot be used.*install it again"):
        resolve(["descriptor"])


def test_a_decode_process_needs_no_torch_and_the_network_needs_no_timm() -> None:
    code = (
        "import pickle, sys, numpy\n"
        "from modules.features.registry import resolve\n"
        "extractor, = resolve(['descriptor'])\n"
        "print('timm' in sys.modules, 'torchvision' in sys.modules)\n"
        "sys.stdout.flush(); sys.stdout.buffer.write(pickle.dumps(extractor))"
    )
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    line, _, pickled = made.stdout.partition(b"\n")
    assert line == b"False False"
    code = (
        "import pickle, sys, numpy\n"
        "extractor = pickle.loads(sys.stdin.buffer.read())\n"
        "print(extractor.prepare(numpy.zeros((300, 400, 3), numpy.uint8)).shape, 'torch' in sys.modules)"
    )
    used = subprocess.run([sys.executable, "-c", code], input=pickled, capture_output=True, check=True)
    assert used.stdout.decode().strip() == "(96, 96, 1) False"


def test_the_network_is_the_residual_network_that_it_says_it_is() -> None:
    """timm's, given the same weights, shows the same maps."""
    import torch

    from modules.features import torch_libraries

    torch_libraries.timm()
    resnet: Any = importlib.import_module("timm.models.resnet")
    shape = {"channels": (48, 96, 192, 384), "stem_type": "deep", "stem_width": 24, "avg_down": True}
    theirs = resnet.ResNet(resnet.BasicBlock, (1, 1, 1, 1), num_classes=0, in_chans=1, global_pool="", **shape).eval()
    torch.manual_seed(1)
    ours = CopyNetwork().eval()
    body = {name: numbers for name, numbers in ours.state_dict().items() if not name.startswith(("head", "power"))}
    for numbers in body.values():
        if numbers.is_floating_point():
            numbers.uniform_(0.01, 0.1)
    theirs.load_state_dict(dict(zip(theirs.state_dict(), body.values(), strict=True)))
    pictures = torch.rand(2, 1, 96, 96)
    with torch.inference_mode():
        torch.testing.assert_close(ours.stages(ours.stem(pictures)), theirs(pictures))
