"""Models as extractors: equal to plain open_clip and timm, steady in any batch, light until they are set up."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images

from modules.devices import Device
from modules.errors import ImgsieveError, UsageError
from modules.features import torch_libraries
from modules.features.base import Extractor
from modules.features.preprocessing import Preprocessing
from modules.features.registry import resolve
from modules.records import Analysis, BlobInfo, Processed, UInt8Array, WorkItem
from modules.stages.embed import Embedder
from tests import weights

FP32 = Device("cpu", "float32", batch_size=8, threads=1)
BF16 = replace(FP32, dtype="bfloat16")
CLIP = f"clip:{weights.SMALL_CLIP}"
TIMM = f"timm:{weights.SMALL_TIMM}.r160_in1k"
DINOV3 = f"timm:{weights.SMALL_DINOV3}"


def photos() -> list[UInt8Array]:
    """Photographs as working pictures: their long side at most 512."""
    made = [*load_sample_images().images, data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    scales = [min(1.0, 512 / max(photo.shape[:2])) for photo in made]
    return [
        np.asarray(cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        for photo, scale in zip(made, scales, strict=True)
    ]


def only(name: str, path: Path, **options: Any) -> Extractor:
    (extractor,) = resolve([name], [f"{name}={path}"], **options)
    return extractor


def embedded(extractor: Extractor, device: Device) -> np.ndarray:
    extractor.setup(device)
    return extractor.embed(np.stack([extractor.prepare(photo) for photo in photos()]))


def plain(model: Any, transform: Any) -> np.ndarray:
    """Unit vectors of the photographs by the model itself, with its own preprocessing."""
    import torch

    with torch.inference_mode():
        given = model(torch.stack([transform(Image.fromarray(photo)) for photo in photos()]))
        return np.asarray(torch.nn.functional.normalize(given, dim=1).numpy())


def plain_clip(model: Any) -> np.ndarray:
    open_clip = torch_libraries.open_clip()
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg), is_train=False
    )
    return plain(model.encode_image, transform)


def plain_timm(model: Any) -> np.ndarray:
    timm = torch_libraries.timm()
    return plain(model, timm.data.create_transform(**timm.data.resolve_model_data_config(model)))


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.asarray((left * right).sum(axis=1))


@pytest.mark.parametrize(("device", "least"), [(FP32, 0.9995), (BF16, 0.999)], ids=["float32", "bfloat16"])
def test_clip_is_open_clip(tmp_path: Path, device: Device, least: float) -> None:
    model = weights.clip_model(1)
    extractor = only(CLIP, weights.save(model, tmp_path / "clip.safetensors"))
    found = embedded(extractor, device)
    assert found.dtype == np.float32
    assert found.shape == (6, extractor.dim)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert cosines(found, plain_clip(model)).min() >= least


@pytest.mark.parametrize("file", ["weights.safetensors", "weights.pth"])
def test_timm_is_timm(tmp_path: Path, file: str) -> None:
    model = weights.timm_model(1)
    path = weights.save(model, tmp_path / file)
    model.reset_classifier(0)
    expected = plain_timm(model)
    assert cosines(embedded(only(TIMM, path), FP32), expected).min() >= 0.999
    assert cosines(embedded(only(TIMM, path), BF16), expected).min() >= 0.998


@pytest.mark.slow
def test_the_pair_for_the_cloud_job(tmp_path: Path) -> None:
    clip = weights.clip_model(3, "ViT-B-32", quick_gelu=True)
    net = weights.timm_model(3, "efficientnet_b0")
    files = [
        f"clip={weights.save(clip, tmp_path / 'clip.safetensors')}",
        f"efficientnet={weights.save(net, tmp_path / 'b0.pth')}",
    ]
    found = resolve(["auto"], files)
    assert [(one.name, one.dim) for one in found] == [("clip", 512), ("efficientnet", 1280), ("descriptor", 256)]
    net.reset_classifier(0)
    for extractor, expected in zip(found, (plain_clip(clip), plain_timm(net)), strict=False):
        vectors = embedded(extractor, BF16)
        assert cosines(vectors, expected).min() >= 0.999
        # Vectors of different pictures lie further apart than bfloat16 moves one.
        assert np.argmax(vectors @ expected.T, axis=1).tolist() == list(range(6))


def test_the_hidden_layer_is_what_the_projection_starts_from(tmp_path: Path) -> None:
    model = weights.clip_model(2)
    path = weights.save(model, tmp_path / "clip.pth")
    vectors = {output: embedded(only(CLIP, path, clip_output=output), FP32) for output in ("final", "hidden", "both")}
    projected = vectors["hidden"] @ model.visual.proj.detach().numpy()
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    np.testing.assert_allclose(projected, vectors["final"], atol=1e-5)
    both = np.concatenate([vectors["final"], vectors["hidden"]], axis=1) / np.sqrt(2)
    np.testing.assert_allclose(both, vectors["both"], atol=1e-5)
    assert len({only(CLIP, path, clip_output=output).fingerprint for output in ("final", "hidden", "both")}) == 3


def test_dinov3_pools_by_its_class_token(tmp_path: Path) -> None:
    model = weights.timm_model(4, weights.SMALL_DINOV3, global_pool="token")
    found = embedded(only(DINOV3, weights.save(model, tmp_path / "dinov3.safetensors")), FP32)
    assert cosines(found, plain_timm(model)).min() >= 0.999


@pytest.mark.parametrize("classes", [0, 7])
def test_a_file_may_have_any_classifier(tmp_path: Path, classes: int) -> None:
    model = weights.timm_model(5, num_classes=classes)
    extractor = only(TIMM, weights.save(model, tmp_path / "own.pth"))
    model.reset_classifier(0)
    assert cosines(embedded(extractor, FP32), plain_timm(model)).min() >= 0.999


def test_torchscript_runs_in_float32_whatever_the_device_likes(tmp_path: Path) -> None:
    import torch

    path = weights.save_torchscript(tmp_path / "program.pt", 1)
    (extractor,) = resolve([f"torchscript:{path}"])
    found = embedded(extractor, BF16)
    assert extractor.family == "torchscript-program"
    assert found.shape == (6, 256)
    inputs = torch.from_numpy(np.stack([extractor.prepare(photo) for photo in photos()])).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(numbers).view(3, 1, 1) for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    program: Any = torch.jit.load(str(path))  # type: ignore[no-untyped-call] # untyped
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(program((inputs - mean) / std), dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.fixture
def meta(monkeypatch: pytest.MonkeyPatch) -> Device:
    """A device of torch's other than the CPU, as a GPU is; what comes back of it are ones, for it keeps no numbers."""
    import torch

    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: torch.ones(tensor.shape))
    return replace(FP32, name="meta")


def test_a_programs_constants_are_on_its_device(tmp_path: Path, meta: Device) -> None:
    path = weights.save_constants(tmp_path / "program.pt")
    (extractor,) = resolve([f"torchscript:{path}"])
    for replica in (extractor, pickle.loads(pickle.dumps(extractor))):
        np.testing.assert_allclose(embedded(replica, meta), 1)
    weights.save_torchscript(path, 1)
    with pytest.raises(UsageError, match=r"program\.pt .*changed since the start"):
        pickle.loads(pickle.dumps(extractor)).setup(meta)


def test_what_fails_on_a_gpu_alone_is_one_line_with_the_way_out(tmp_path: Path, meta: Device) -> None:
    path = weights.save_constants(tmp_path / "program.pt", device="cpu")
    name = f"torchscript:{path}"
    (extractor,) = resolve([name])
    with pytest.raises(UsageError) as caught:
        extractor.setup(meta)
    said = str(caught.value)
    assert said.startswith(f"{name}: {path} cannot be used on meta: ")
    assert "cpu is not on the expected device meta" in said
    assert said.endswith("; use --devices cpu")
    assert "\n" not in said


def test_want_of_memory_when_a_model_is_tried_on_a_gpu_is_the_devices(
    tmp_path: Path, meta: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    extractor = only(TIMM, weights.save_timm(tmp_path / "weights.pth", 1))

    def fail(tensor: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(torch.Tensor, "cpu", fail)
    with pytest.raises(torch.OutOfMemoryError):
        extractor.setup(meta)


@pytest.mark.parametrize("device", [FP32, BF16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", [CLIP, TIMM])
def test_a_vector_does_not_depend_on_its_batch(tmp_path: Path, name: str, device: Device) -> None:
    make = weights.save_clip if name == CLIP else weights.save_timm
    extractor = only(name, make(tmp_path / "weights.pth", 6))
    extractor.setup(device)
    side = extractor.prepare(photos()[0]).shape[0]
    batch = np.random.default_rng(1).integers(0, 256, (19, side, side, 3), dtype=np.uint8)
    together = extractor.embed(batch)
    order = np.random.default_rng(2).permutation(19)
    assert np.array_equal(extractor.embed(batch[order]), together[order])
    for start, stop in ((0, 1), (7, 8), (3, 14)):
        assert np.array_equal(extractor.embed(batch[start:stop]), together[start:stop])
    assert extractor.embed(batch[:0]).shape == (0, extractor.dim)


def test_another_batch_size_loads_nothing_again(tmp_path: Path) -> None:
    path = weights.save_timm(tmp_path / "weights.pth", 1)
    extractor = only(TIMM, path)
    vectors = embedded(extractor, FP32)
    path.unlink()
    np.testing.assert_allclose(embedded(extractor, replace(FP32, batch_size=2)), vectors, atol=1e-5)
    with pytest.raises(UsageError, match=r"weights\.pth"):
        extractor.setup(BF16)


def test_what_is_sent_to_decode_workers_is_light_and_prepares_without_torch(tmp_path: Path) -> None:
    extractor = only(CLIP, weights.save_clip(tmp_path / "clip.pth", 1))
    extractor.setup(FP32)
    sent = pickle.dumps(extractor)
    assert len(sent) < 10_000
    code = (
        "import pickle, sys, numpy\n"
        f"extractor = pickle.loads({sent!r})\n"
        "print(extractor.prepare(numpy.zeros((300, 400, 3), numpy.uint8)).shape, 'torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "(224, 224, 3) False\n"
    with pytest.raises(ImgsieveError, match="setup"):
        pickle.loads(sent).embed(np.zeros((1, 224, 224, 3), np.uint8))


def test_vectors_that_are_no_numbers_end_the_run(tmp_path: Path) -> None:
    """Finite in float32, beyond float16's numbers: seen on the device only."""
    model = weights.timm_model(1)
    model.conv_stem.weight.data.mul_(1e6)
    extractor = only(TIMM, weights.save(model, tmp_path / "large.pth"))
    with pytest.raises(ImgsieveError, match=rf"^{TIMM}: vectors that are not finite on cpu in float16"):
        embedded(extractor, replace(FP32, dtype="float16"))


def test_a_picture_without_finite_numbers_is_a_row_and_the_others_have_theirs(tmp_path: Path) -> None:
    """A grey picture stays within float16's numbers, noise in black and white does not."""
    model = weights.timm_model(1)
    model.conv_stem.weight.data.mul_(1e4)
    extractor = only(TIMM, weights.save(model, tmp_path / "large.pth"))
    noise = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (160, 160, 3))
    batch = []
    for number, picture in enumerate((np.full((160, 160, 3), 124, np.uint8), noise)):
        item = WorkItem(0, BlobInfo(f"c/{number}.jpg", 3, "1"), frozenset())
        batch.append(Processed(item, b"s", Analysis(None, None, {TIMM: picture})))
    calm, wild = Embedder([extractor], replace(FP32, dtype="float16"))(batch)
    assert np.isfinite(calm.vectors[TIMM]).all()
    assert calm.failure is None
    assert (wild.analysis, wild.permanent) == (None, False)
    assert wild.failure == f"{TIMM} gives a vector that is not finite"


def test_weights_that_were_changed_since_they_were_tried_are_refused(tmp_path: Path) -> None:
    path = weights.save_timm(tmp_path / "weights.pth", 1)
    extractor = only(TIMM, path)
    copy = pickle.loads(pickle.dumps(extractor))
    picture = np.full((1, 160, 160, 3), 99, np.uint8)
    weights.save_timm(path, 2)
    with pytest.raises(UsageError, match=r"weights\.pth .*changed since the start"):
        copy.setup(FP32)
    extractor.setup(FP32)  # has the model that was tried
    weights.save_timm(path, 1)
    copy.setup(FP32)
    assert np.array_equal(extractor.embed(picture), copy.embed(picture))


def test_building_models_leaves_torch_as_it_was(tmp_path: Path) -> None:
    import torch

    before = {name: getattr(torch.nn.init, name) for name in dir(torch.nn.init)}
    only(TIMM, weights.save_timm(tmp_path / "weights.pth", 1))
    assert {name: getattr(torch.nn.init, name) for name in dir(torch.nn.init)} == before


def test_fingerprints_tell_weights_apart_and_know_an_alias(tmp_path: Path) -> None:
    first, second = (weights.save_timm(tmp_path / f"{seed}.pth", seed) for seed in (1, 2))
    assert only(TIMM, first).fingerprint != only(TIMM, second).fingerprint
    moved = first.rename(tmp_path / "moved.pth")
    again = only(TIMM, moved)
    assert again.fingerprint == pickle.loads(pickle.dumps(again)).fingerprint
    assert again.family == "timm-test_efficientnet.r160_in1k"


def own_input(photo: UInt8Array, side: int, way: str, interpolation: str) -> UInt8Array:
    """What torchvision's pipeline makes of a picture."""
    transforms = importlib.import_module("torchvision.transforms")
    mode = transforms.InterpolationMode(interpolation)
    steps = transforms.Compose(
        [transforms.Resize(side if way == "cover" else (side, side), mode), transforms.CenterCrop(side)]
    )
    return np.asarray(steps(Image.fromarray(photo)))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("way", ["cover", "fill"])
@pytest.mark.parametrize("side", [112, 160, 224, 256, 384])
def test_inputs_are_near_those_of_the_models_own_pipeline(side: int, way: Any, interpolation: str) -> None:
    torch_libraries.timm()
    prepares = Preprocessing((side, side), (side, side), way, interpolation, (0.5,) * 3, (0.5,) * 3)
    for photo in photos():
        error = prepares.apply(photo).astype(np.float64) - own_input(photo, side, way, interpolation)
        assert 10 * np.log10(255**2 / np.mean(error**2)) > 30


def test_odd_pictures_have_inputs_too() -> None:
    cover = Preprocessing((32, 48), (40, 60), "cover", "bicubic", (0.5,) * 3, (0.5,) * 3)
    fit = replace(cover, way="fit", scaled=(32, 48), fill=(9, 9, 9))
    for shape in ((1, 1, 3), (1, 512, 3), (512, 1, 3), (33, 47, 3), (512, 341, 3)):
        picture = np.full(shape, 200, np.uint8)
        for prepares in (cover, replace(cover, way="fill"), fit):
            made = prepares.apply(picture)
            assert made.shape == (32, 48, 3)
            assert (made == 200).all(axis=2).any()
    assert fit.apply(np.full((10, 40, 3), 200, np.uint8))[0, 0].tolist() == [9, 9, 9]
