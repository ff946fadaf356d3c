"""What is found on a machine and which GPUs are tried for it; GPUs are simulated, all else is the real thing."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from modules.devices import Device, devices_for, stand_in_for
from modules.errors import UsageError
from modules.hardware import Gpu, attention_kernel, driver_version, find_hardware, tune_environment

ROOT = Path(__file__).resolve().parents[2]
GIB = 1 << 30


def test_what_is_found_here_agrees_with_torch() -> None:
    found = find_hardware()
    assert found.torch == torch.__version__
    assert len(found.gpus) == torch.cuda.device_count()
    assert found.cores >= 1
    assert ("amx_bf16" in found.features) == bool(torch.cpu.get_capabilities().get("amx_bf16", False))
    assert found.attention == attention_kernel(torch.device("cpu"), torch.float32)
    assert found.attention in {"flash", "math"}


def test_waiting_threads_sleep_unless_the_person_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "THP_MEM_ALLOC_ENABLE"):
        monkeypatch.setenv(name, "")  # so that it is put back after the test
        monkeypatch.delenv(name)
    tune_environment()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["THP_MEM_ALLOC_ENABLE"]) == ("passive", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    tune_environment()
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["THP_MEM_ALLOC_ENABLE"]) == ("active", "0")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's malloc")
@pytest.mark.parametrize("call", ["", "keep_freed_memory(512 << 20)"])
def test_memory_of_freed_tensors_is_taken_again_by_the_next_ones(call: str) -> None:
    """Fresh pages are faulted in one by one; kept ones are not."""
    code = (
        "import resource, threading; from modules.hardware import keep_freed_memory\n"
        f"{call}\n"
        "def work():\n"
        "    faults = []\n"
        "    for _ in range(4):\n"
        "        bytearray(b'x') * (100 << 20)\n"
        "        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)\n"
        "    print(faults[-1] - faults[0])\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    pages = 3 * (100 << 20) // resource.getpagesize()
    assert int(ended.stdout) < pages / 10 if call else int(ended.stdout) > pages / 2


def test_driver_version_is_read_where_the_kernel_module_tells_it(tmp_path: Path) -> None:
    file = tmp_path / "version"
    assert driver_version(file) == ""
    file.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\nGCC version: 12.3\n"
    )
    assert driver_version(file) == "570.86.15"
    file.write_text("something else\n")
    assert driver_version(file) == "unknown"


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Four GPUs, of which the first and the last do not work; which of them were tried."""
    indices: list[int] = []

    def look(index: int) -> Gpu:
        indices.append(index)
        return Gpu(index, "T4", 16 * GIB, (7, 5), "efficient", problem="" if index in {1, 2} else "it is broken")

    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setattr("modules.hardware._look_at", look)
    return indices


@pytest.mark.parametrize(
    ("asked", "gpus", "expected"),
    [
        (["auto"], None, [0, 1, 2, 3]),
        (["cuda"], 1, [0, 1]),
        (["auto", "cpu"], 2, [0, 1, 2]),
        (["cuda:2"], None, [2]),
        (["cuda:2", "cuda:1", "cpu"], None, [1, 2]),
        (["cuda:2", "cuda"], 1, [0, 1, 2]),
        (["cpu", "cpu"], None, []),
    ],
)
def test_only_gpus_that_may_be_chosen_are_tried(
    tried: list[int], asked: list[str], gpus: int | None, expected: list[int]
) -> None:
    """Trying one takes hundreds of megabytes of its memory, which may be meant for another program."""
    assert devices_for(asked, gpus, 0.5, 8, models=True)
    assert tried == expected


@pytest.mark.parametrize(("asked", "expected"), [("cuda:3", [3]), ("cuda:7", [])])
def test_gpu_that_is_no_good_has_no_others_tried(tried: list[int], asked: str, expected: list[int]) -> None:
    with pytest.raises(UsageError, match=rf"devices: {asked} "):
        devices_for([asked], None, 0.5, 8, models=True)
    assert tried == expected


def test_on_the_cpu_gpus_are_not_even_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that hangs must not hold up those who do not ask for it, nor the CPU that steps in for a lost GPU."""

    def hang() -> int:
        raise AssertionError("the driver was asked")

    monkeypatch.setattr("torch.cuda.device_count", hang)
    (device,) = devices_for(["cpu"], None, 0.5, 8, models=True)
    assert device.name == "cpu"
    assert stand_in_for([Device("cuda:0", "bfloat16", 8, 1)]) is not None


@pytest.fixture
def cpu_as_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One GPU, an A100 by its name, for which the CPU does the work that it is tried with."""
    facts = SimpleNamespace(name="A100", total_memory=80 * GIB, major=8, minor=0)
    cpu = torch.device("cpu")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda index: facts)
    monkeypatch.setattr("torch.cuda.synchronize", lambda index: None)
    monkeypatch.setattr("torch.device", lambda *_: cpu)


@pytest.mark.usefixtures("cpu_as_gpu")
@pytest.mark.parametrize("fails", ["scaled_dot_product_attention", "conv2d"])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB."),
        torch.AcceleratorError("CUDA error: device-side assert triggered\nmore about it"),
    ],
)
def test_gpu_that_fails_when_it_is_tried_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, fails: str, error: RuntimeError
) -> None:
    kernel = attention_kernel(torch.device("cpu"), torch.bfloat16)
    (gpu,) = find_hardware().gpus
    assert (gpu.name, gpu.problem, gpu.attention) == ("A100", "", kernel)
    real = getattr(torch.nn.functional, fails)

    def fail(given: torch.Tensor, *others: Any) -> torch.Tensor:
        """As a GPU that fails, beside a CPU that does not: the GPU's work is in bfloat16."""
        if given.dtype is torch.bfloat16:
            raise error
        made: torch.Tensor = real(given, *others)
        return made

    monkeypatch.setattr(torch.nn.functional, fails, fail)
    (gpu,) = find_hardware().gpus
    assert (gpu.name, gpu.problem) == ("A100", str(error).splitlines()[0])


@pytest.mark.usefixtures("cpu_as_gpu")
def test_gpu_on_which_no_convolution_works_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """So it is without cuDNN's libraries for it; later the same words are for want of memory."""

    def fail(*_: Any) -> None:
        raise RuntimeError("GET was unable to find an engine to execute this computation")

    monkeypatch.setattr(torch.nn.functional, "conv2d", fail)
    (device,) = devices_for(["auto"], None, 0.5, 8, models=True)
    assert device.name == "cpu"
    with pytest.raises(UsageError, match=r"cuda:0 \(A100\) cannot be used: GET was unable to find an engine"):
        devices_for(["cuda:0"], None, 0.5, 8, models=True)
