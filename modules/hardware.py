"""What this machine has for running models: its CPU's instructions, its GPUs, and what torch can do with them."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import warnings
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modules.errors import ImgsieveError

if TYPE_CHECKING:
    import torch

#: CPU features that multiply bfloat16 natively: AMX and AVX-512 BF16 of x86, BF16 of Arm. Named as torch names them.
BFLOAT16_FEATURES = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")
#: Further ones that are worth telling.
_TOLD_FEATURES = ("avx2", "avx512_f", "neon", "sve")
# Of malloc.h: which parameters of malloc are changed, and to how many bytes.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: Bytes that a process that runs models, and one that decodes pictures, may keep for its next ones.
MODEL_MEMORY, PICTURE_MEMORY = 512 << 20, 128 << 20
_DRIVER_FILE = Path("/proc/driver/nvidia/version")
#: What attention is tried with: a small batch of ViT-B's heads, (batch, heads, tokens, width of a head).
_ATTENTION_SHAPE = (2, 12, 50, 64)
#: What convolution is tried with: pictures (batch, channels, height, width) and weights (to, from, height, width).
_PICTURES_SHAPE, _WEIGHTS_SHAPE = (1, 3, 16, 16), (8, 3, 3, 3)


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. memory: bytes in all. capability: CUDA compute capability. attention: the kernel that torch takes.

    problem: why it cannot be used, empty when it can.
    """

    index: int
    name: str
    memory: int
    capability: tuple[int, int]
    attention: str = ""
    problem: str = ""

    @property
    def dtype(self) -> str:
        """What models compute in: bfloat16 where it is native (8.0), else float16 where that is fast, else float32.

        Source: CUDA C++ Programming Guide, arithmetic throughput by compute capability; 6.1 and 6.2 compute
        float16 slower than float32.
        """
        if self.capability >= (8, 0):
            return "bfloat16"
        if self.capability >= (7, 0) or self.capability in {(5, 3), (6, 0)}:
            return "float16"
        return "float32"


@dataclass(frozen=True, slots=True)
class Hardware:
    """What was found. cores: that this process may use. features: the CPU's, named as torch names them.

    attention: the kernel that torch takes on the CPU. gpus: those that were tried, of ``gpu_count`` that there are (0
    where none was to be tried). torch: its version, with the build in it. driver: of the GPUs, empty where there is
    none. notes: what torch had to say about them.
    """

    cores: int
    cpu: str = ""
    features: frozenset[str] = frozenset()
    attention: str = ""
    gpus: tuple[Gpu, ...] = ()
    gpu_count: int = 0
    torch: str = ""
    driver: str = ""
    notes: tuple[str, ...] = ()

    @property
    def native_bfloat16(self) -> tuple[str, ...]:
        """The CPU's features that multiply bfloat16 natively; empty too where nothing is known of it."""
        return tuple(name for name in BFLOAT16_FEATURES if name in self.features)

    @property
    def cpu_dtype(self) -> str:
        """What models compute in on the CPU; emulated bfloat16 would be slower than float32."""
        return "bfloat16" if self.native_bfloat16 else "float32"


def tune_environment() -> None:
    """Set what the libraries read of the environment when they are loaded; a setting of the person's own stays.

    Threads that wait for each other sleep: they spin by default, and beside busy decode processes that costs several
    times the work itself, for a thread that was put aside is waited for by all others at full load. Large tensors come
    in huge pages: fresh ones of ordinary pages cost EfficientNet-B0 a third of its time in the kernel.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ):
        os.environ["OMP_WAIT_POLICY"] = "passive"  # GNU's runtime and Intel's
        os.environ["KMP_BLOCKTIME"] = "0"
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch, performance tuning guide


def keep_freed_memory(kept: int) -> None:
    """Let tensors and pictures take the memory of those before them; where the C library is not glibc, do nothing.

    glibc takes large blocks from the kernel and hands them back each time, and the kernel has to clear every page of
    them again. Call it while there is one thread: threads after it share the one heap that can grow (glibc manual,
    Malloc Tunable Parameters). Costs up to ``kept`` bytes that stay with the process; blocks of more than half of that
    are handed back as before.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    change = ctypes.CDLL(None).mallopt
    for parameter, value in ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, kept // 2), (_M_TRIM_THRESHOLD, kept)):
        if change(parameter, value) != 1:
            raise ImgsieveError(f"mallopt({parameter}, {value}) was refused")


def usable_cores() -> int:
    """As :func:`modules.settings.cores`."""
    from modules.settings import cores  # noqa: PLC0415 - heavy: decode workers load this file and need no settings

    return cores()


def find_hardware(named: Collection[int] = (), first: int | None = None) -> Hardware:
    """Look at the machine with torch; a GPU that does not answer is among them, with its problem.

    Trying a GPU takes hundreds of megabytes of its memory, and waits where it hangs. So none is tried but those of the
    indices ``named``, and others in their order until the ``first`` of all are found to be usable: None for all GPUs.
    """
    tune_environment()
    import torch  # noqa: PLC0415 - heavy: a run without models must not load it

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Where none is to be tried, the driver is not even asked how many there are: it may hang too.
        gpu_count = torch.cuda.device_count() if named or first != 0 else 0
        gpus = _try_gpus(gpu_count, named, first)
        capabilities = dict(torch.cpu.get_capabilities())
    # Without oneDNN, torch has no fast kernels for bfloat16 whatever the CPU can.
    fast = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call] # torch gives it no types
    native = BFLOAT16_FEATURES if fast else ()
    return Hardware(
        cores=usable_cores(),
        cpu=str(capabilities.get("cpu_name") or capabilities.get("architecture") or "unknown"),
        features=frozenset(name for name in (*native, *_TOLD_FEATURES) if capabilities.get(name) is True),
        attention=attention_kernel(torch.device("cpu"), torch.float32),
        gpus=gpus,
        gpu_count=gpu_count,
        torch=torch.__version__,
        driver=driver_version(),
        notes=tuple(dict.fromkeys(str(one.message).splitlines()[0] for one in caught)),
    )


def attention_kernel(device: torch.device, dtype: torch.dtype) -> str:
    """The first of torch's kernels, in its own order, that computes attention on ``device``: flash, math, ...

    All of them stay allowed, so this is what models get. Raises what torch raises when the device does not work, or has
    no memory.
    """
    import torch  # noqa: PLC0415 - see above
    from torch.nn import attention, functional  # noqa: PLC0415 - see above

    tokens = torch.zeros(_ATTENTION_SHAPE, dtype=dtype, device=device)
    order = attention._cur_sdpa_kernel_backends(with_priority=True)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # each kernel that is refused is explained at length
        for kernel in order:
            with attention.sdpa_kernel(kernel):
                try:
                    functional.scaled_dot_product_attention(tokens, tokens, tokens)
                except (torch.AcceleratorError, torch.OutOfMemoryError):
                    raise
                except RuntimeError:  # torch says in this way that a kernel is not for these tensors
                    continue
            return str(kernel.name).removesuffix("_ATTENTION").lower()
    raise RuntimeError(f"torch has no kernel for attention on {device}")


def driver_version(file: Path = _DRIVER_FILE) -> str:
    """Version of the NVIDIA driver, empty where there is none. file: where the kernel module tells it."""
    try:
        found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", file.read_text("ascii", errors="replace"))
    except OSError:
        return ""
    return found[0] if found else "unknown"


def _try_gpus(count: int, named: Collection[int], first: int | None) -> tuple[Gpu, ...]:
    tried: list[Gpu] = []
    for index in range(count):
        usable = sum(not gpu.problem for gpu in tried)
        if index in named or first is None or usable < first:
            tried.append(_look_at(index))
    return tuple(tried)


def _look_at(index: int) -> Gpu:
    """One GPU, tried out: a build of torch may lack its kernels, and a broken one is listed like any other."""
    import torch  # noqa: PLC0415 - see above

    try:
        facts = torch.cuda.get_device_properties(index)
    except (RuntimeError, AssertionError) as error:
        return Gpu(index, "unknown", 0, (0, 0), problem=_first_line(error))
    gpu = Gpu(index, facts.name, facts.total_memory, (facts.major, facts.minor))
    device, dtype = torch.device("cuda", index), getattr(torch, gpu.dtype)
    try:
        kernel = attention_kernel(device, dtype)
        _convolve(device, dtype)
        torch.cuda.synchronize(index)
    except RuntimeError as error:
        return Gpu(index, gpu.name, gpu.memory, gpu.capability, problem=_first_line(error))
    return Gpu(index, gpu.name, gpu.memory, gpu.capability, attention=kernel)


def _convolve(device: torch.device, dtype: torch.dtype) -> None:
    """A convolution, by cuDNN on a GPU: a library of its own, which may not work. Raises what torch raises then."""
    import torch  # noqa: PLC0415 - see above

    pictures, weights = (torch.zeros(shape, dtype=dtype, device=device) for shape in (_PICTURES_SHAPE, _WEIGHTS_SHAPE))
    with torch.inference_mode():
        torch.nn.functional.conv2d(pictures, weights)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
