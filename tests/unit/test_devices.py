"""Which devices are chosen on given facts, and what an embedder does when its device fails; no GPU is needed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from modules.devices import (
    Device,
    DeviceLostError,
    choose_devices,
    plain_devices,
    stand_in_for,
    trouble_of,
)
from modules.errors import UsageError
from modules.features.perceptual import Perceptual
from modules.hardware import Gpu, Hardware
from modules.records import Analysis, BlobInfo, Float32Array, Processed, UInt8Array, WorkItem
from modules.stages.embed import Embedder

ROOT = Path(__file__).resolve().parents[2]
GIB = 1 << 30
AMPERE = Gpu(0, "A100", 80 * GIB, (8, 0), "flash")
TURING = Gpu(1, "T4", 16 * GIB, (7, 5), "efficient")
BROKEN = Gpu(2, "K80", 12 * GIB, (3, 7), problem="no kernel image is available for execution on the device")
CPU_ONLY = Hardware(cores=8, features=frozenset({"avx2"}), torch="2.13.0+cpu")
SERVER = replace(CPU_ONLY, gpus=(AMPERE, TURING, BROKEN), gpu_count=3, torch="2.13.0+cu130")


def choose(
    *asked: str, found: Hardware = SERVER, gpus: int | None = None, fraction: float = 0.5, batch_size: int = 32
) -> list[Device]:
    return choose_devices(asked, gpus, fraction, batch_size, found)


def test_auto_takes_every_gpu_that_works_in_its_native_dtype_and_share_of_memory() -> None:
    first, second = choose("auto")
    assert (first.name, first.dtype, first.attention, first.memory) == ("cuda:0", "bfloat16", "flash", 40 * GIB)
    assert (second.name, second.dtype, second.attention, second.memory) == ("cuda:1", "float16", "efficient", 8 * GIB)
    assert {first.memory_fraction, second.memory_fraction} == {0.5}
    assert {first.batch_size, second.batch_size} == {32}


@pytest.mark.parametrize(
    ("asked", "gpus", "expected"),
    [
        (["auto"], 1, ["cuda:0"]),
        (["cuda"], None, ["cuda:0", "cuda:1"]),
        (["cuda:1"], None, ["cuda:1"]),
        (["cuda:1", "cpu"], None, ["cuda:1", "cpu"]),
        (["cuda:0", "cuda:0"], None, ["cuda:0", "cuda:0"]),
        (["cpu", "cpu"], None, ["cpu", "cpu"]),
        (["auto", "cpu"], 2, ["cuda:0", "cuda:1", "cpu"]),
    ],
)
def test_devices_are_those_asked_for_in_that_order(asked: list[str], gpus: int | None, expected: list[str]) -> None:
    assert [device.name for device in choose(*asked, gpus=gpus)] == expected


def test_without_a_gpu_auto_is_the_cpu_with_all_cores_and_replicas_share_them() -> None:
    (only,) = choose("auto", found=CPU_ONLY)
    assert (only.name, only.threads, only.dtype) == ("cpu", 8, "float32")
    assert "no GPU that can be used was found" in only.reason
    assert [device.threads for device in choose("cpu", "cpu", "cpu", found=CPU_ONLY)] == [2, 2, 2]
    assert [device.threads for device in choose("cpu", "cpu", found=replace(CPU_ONLY, cores=1))] == [1, 1]


@pytest.mark.parametrize("feature", ["amx_bf16", "avx512_bf16", "bf16"])
def test_cpu_computes_in_bfloat16_where_that_is_native(feature: str) -> None:
    (device,) = choose("cpu", found=replace(CPU_ONLY, features=frozenset({"avx2", feature})))
    assert device.dtype == "bfloat16"
    assert feature in device.reason


@pytest.mark.parametrize(
    ("capability", "dtype"),
    [((9, 0), "bfloat16"), ((12, 0), "bfloat16"), ((7, 0), "float16"), ((6, 0), "float16"), ((6, 1), "float32")],
)
def test_dtype_of_a_gpu_is_what_it_computes_fast(capability: tuple[int, int], dtype: str) -> None:
    assert replace(AMPERE, capability=capability).dtype == dtype


@pytest.mark.parametrize(
    ("asked", "gpus", "found", "message"),
    [
        (["cuda"], None, CPU_ONLY, r"cuda is asked for, but no GPU was found \(torch 2.13.0\+cpu is without CUDA\)"),
        (["cuda:0"], None, CPU_ONLY, "cuda:0 is asked for, but no GPU was found"),
        (["cuda:7"], None, SERVER, r"cuda:7 is asked for, but there are only cuda:0, cuda:1, cuda:2 \(unusable"),
        (["cuda:7"], None, replace(SERVER, gpus=()), "cuda:7 is asked for, but there are only cuda:0, cuda:1, cuda:2$"),
        (["cuda:2"], None, SERVER, r"cuda:2 \(K80\) cannot be used: no kernel image"),
        (["auto"], 3, SERVER, "gpus: 3 are asked for, but there are only"),
        (["auto"], 1, CPU_ONLY, "gpus: 1 are asked for, but no GPU was found"),
        (["cpu"], 1, SERVER, "gpus: 1 of them are asked for, but devices names cpu"),
        (["tpu"], None, SERVER, "unknown device 'tpu'; known are auto, cpu, cuda and cuda:N"),
        (["cuda:x"], None, SERVER, "unknown device 'cuda:x'"),
        (["cpu:0"], None, SERVER, "unknown device 'cpu:0'"),
        (
            ["cuda"],
            None,
            replace(CPU_ONLY, torch="2.13.0+cu130", notes=("the NVIDIA driver on your system is too old",)),
            "no GPU was found; the NVIDIA driver on your system is too old",
        ),
    ],
)
def test_what_is_not_there_is_a_usage_error_that_says_what_is(
    asked: list[str], gpus: int | None, found: Hardware, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        choose(*asked, gpus=gpus, found=found)


def test_stand_in_is_the_cpu_for_gpus_and_nothing_for_the_cpu() -> None:
    stand_in = stand_in_for(choose("cuda:0", batch_size=16))
    assert stand_in is not None
    assert (stand_in.name, stand_in.batch_size) == ("cpu", 16)
    assert stand_in_for(choose("cpu", "cpu")) is None


def test_devices_without_models_are_the_cpu_and_load_no_torch() -> None:
    assert [device.name for device in plain_devices(["auto"], None, 8)] == ["cpu"]
    assert [device.name for device in plain_devices(["cpu", "cpu"], None, 8)] == ["cpu", "cpu"]
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        plain_devices(["gpu"], None, 8)
    code = (
        "import sys; from modules.devices import devices_for\n"
        "import pipeline\n"
        "print(devices_for(['auto'], None, 0.9, 8, models=False)[0].name, 'torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["cpu", "False"]


@pytest.mark.parametrize(
    ("asked", "gpus", "told"),
    [
        (["auto"], None, []),
        (["cpu", "cpu"], None, []),
        (["cuda"], None, ["no model among the features: devices and gpus are not used"]),
        (["cpu", "cuda:1"], None, ["no model among the features: devices and gpus are not used"]),
        (["auto"], 2, ["no model among the features: devices and gpus are not used"]),
    ],
)
def test_gpus_asked_for_without_a_model_are_told_to_be_unused(
    asked: list[str], gpus: int | None, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert {device.name for device in plain_devices(asked, gpus, 8)} == {"cpu"}
    assert caplog.messages == told


#: TorchScript makes a plain RuntimeError of all that happens in a program.
IN_A_PROGRAM = "The following operation failed in the TorchScript interpreter.\nTraceback ...\nRuntimeError: {}\n"


def allocate_too_much() -> Exception:
    try:
        torch.empty(1 << 50)
    except RuntimeError as error:
        return error
    raise AssertionError("a petabyte was allocated")


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "memory"),
        (torch.AcceleratorError("CUDA error: out of memory"), "memory"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "memory"),
        (RuntimeError("FIND was unable to find an engine to execute this computation"), "memory"),
        (RuntimeError("GET was unable to find an engine to execute this computation"), "memory"),
        (RuntimeError(IN_A_PROGRAM.format("CUDA out of memory. Tried to allocate 2.00 GiB.")), "memory"),
        (RuntimeError(IN_A_PROGRAM.format("CUDA error: unspecified launch failure")), "lost"),
        (MemoryError(), "memory"),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), "lost"),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), "lost"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "lost"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"), None),
        (ValueError("CUDA error"), None),
    ],
)
def test_exceptions_of_torch_tell_what_is_wrong_with_the_device(error: Exception, trouble: str | None) -> None:
    assert trouble_of(error) == trouble


def test_want_of_memory_on_the_cpu_is_told_by_torchs_own_exception() -> None:
    assert trouble_of(allocate_too_much()) == "memory"


class Linear(Perceptual):
    """A small torch model, whose device has memory for ``room`` pictures and is lost at its ``lost_at``-th batch."""

    name = "linear"
    dim = 4

    def __init__(self, room: int = 1000, lost_at: int = 1000, weights: int = 0) -> None:
        self.room = room
        self.lost_at = lost_at
        self.weights = weights
        self.asked: list[int] = []
        self.set_up: list[Device] = []

    def prepare(self, rgb: UInt8Array) -> UInt8Array:
        return rgb

    def setup(self, device: Device) -> None:
        if self.weights > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        self.set_up.append(device)
        torch.manual_seed(0)
        self._model = torch.nn.Linear(12, self.dim)

    def embed(self, batch: UInt8Array) -> Float32Array:
        self.asked.append(len(batch))
        if len(self.asked) >= self.lost_at:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure\nmore about it")
        if len(batch) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        with torch.inference_mode():
            rows = self._model(torch.from_numpy(batch.reshape(len(batch), -1)).float())
            vectors: Float32Array = torch.nn.functional.normalize(rows).numpy()
        return vectors


def pictures(count: int) -> list[Processed]:
    rng = np.random.default_rng(3)
    return [
        Processed(
            WorkItem(0, BlobInfo(f"c/{n}.jpg", 3, "1"), frozenset()),
            b"s",
            Analysis(None, None, {"linear": rng.integers(0, 255, (2, 2, 3), np.uint8)}),
        )
        for n in range(count)
    ]


GPU = Device("cuda:0", "float32", 8, 1)


@pytest.fixture
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches out to the GPU itself cannot be done here."""
    monkeypatch.setattr("modules.stages.embed.take", lambda device: None)
    monkeypatch.setattr("modules.stages.embed.release_memory", lambda device: None)


@pytest.mark.usefixtures("on_the_cpu")
def test_short_of_memory_the_batch_is_halved_and_stays_so(caplog: pytest.LogCaptureFixture) -> None:
    work = pictures(13)
    unbounded = Embedder([Linear()], GPU)(work)
    tight = Linear(room=3)
    embedder = Embedder([tight], GPU)
    embedded = embedder(work)
    assert tight.asked == [8, 4, 2, 2, 2, 2, 2, 2, 1]
    assert [one.item for one in embedded] == [one.item for one in work]
    for one, other in zip(embedded, unbounded, strict=True):
        np.testing.assert_allclose(one.vectors["linear"], other.vectors["linear"], atol=1e-6)
    assert embedder.device.batch_size == 2
    assert [device.batch_size for device in tight.set_up] == [8, 4, 2]
    tight.asked.clear()
    embedder(work[:4])
    assert tight.asked == [2, 2]
    assert "device cuda:0 is short of memory: batches of 2 from now on" in caplog.text


@pytest.mark.usefixtures("on_the_cpu")
def test_device_without_memory_for_one_picture_or_for_the_weights_is_lost() -> None:
    embedder = Embedder([Linear(room=0)], GPU)
    with pytest.raises(DeviceLostError, match=r"device cuda:0 has too little memory \(CUDA out of memory"):
        embedder(pictures(3))
    with pytest.raises(DeviceLostError, match="too little memory"):
        Embedder([Linear(room=4, weights=5)], GPU)(pictures(1))


@pytest.mark.usefixtures("on_the_cpu")
def test_lost_device_is_told_at_once_and_never_asked_again() -> None:
    lost = Linear(lost_at=2)
    embedder = Embedder([lost], GPU)
    assert len(embedder(pictures(8))) == 8
    for _ in range(2):
        with pytest.raises(DeviceLostError, match=r"^device cuda:0 is lost \(CUDA error: unspecified launch failure.$"):
            embedder(pictures(8))
    assert len(lost.asked) == 2


def test_fault_of_the_code_is_no_fault_of_the_device() -> None:
    extractor = Linear()
    wrong = [replace(one, analysis=Analysis(None, None, {"linear": np.zeros(5, np.uint8)})) for one in pictures(1)]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Embedder([extractor], Device("cpu", "float32", 8, 1))(wrong)


def test_replica_on_the_cpu_takes_its_share_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        Embedder([Linear()], Device("cpu", "float32", 8, threads=1))(pictures(1))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
