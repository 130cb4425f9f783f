"""Which arithmetic a device computes fast, and what a `precision` setting means there.

A precision means "at least as exact as": on a device without units for bfloat16 or float16 the network computes in
float32, which is faster there as well as more exact, and its rows stay under the same key. Emulated, bfloat16 took 3
times as long as float32 on an Ice Lake Xeon, and 60 times with AVX2 alone.
"""

from __future__ import annotations

import functools
import os
import platform
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

REDUCED = ("bfloat16", "float16")
# What a feature may move by against float32: the norm of the difference over the norm, over one clip's array.
TOLERANCE: Mapping[str, float] = MappingProxyType({"float32": 5e-4, "float16": 2e-3, "bfloat16": 2e-2})
ONEDNN_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")  # with these oneDNN leaves units unused, and tells nobody
X86 = ("x86_64", "AMD64", "i386", "i686")
TENSOR_CORES = (7, 0)  # CUDA's compute capability from which float16 is faster than float32 on every card
FASTER = 1.2  # how many times as fast as float32 a measured precision must be: less could be noise
HOPELESS = 3.0  # times as slow as float32: one run is enough to know
RUNS = 5


def compute_precision(precision: str, device: str | torch.device = "cpu") -> str:
    """What a network with this setting computes in on a device: the precision itself where it is fast, else float32.

    precision: "float32", "bfloat16", "float16", or "auto": bfloat16 where it is fast.
    """
    wanted = "bfloat16" if precision == "auto" else precision
    return wanted if wanted in fast_precisions(str(device)) else "float32"


@functools.cache
def fast_precisions(device: str = "cpu") -> frozenset[str]:
    """The precisions that a device (torch's name of it) computes faster than float32, or float32 itself.

    A processor and a GPU are asked; where they cannot say, a small convolution is measured once, in milliseconds.
    """
    import torch

    kind, fast = device.partition(":")[0], {"float32": True}
    if kind == "cpu":  # float16 arithmetic of processors is of no use to torch's convolutions in three dimensions
        known = _has_bfloat16_units()
        fast["bfloat16"] = is_faster("bfloat16", device) if known is None else known
    elif kind == "cuda":
        with torch.cuda.device(device):
            fast["bfloat16"] = torch.cuda.is_bf16_supported(including_emulation=False)
            fast["float16"] = torch.cuda.get_device_capability() >= TENSOR_CORES
    else:  # Apple's MPS and whatever else torch names: nobody says
        fast |= {name: is_faster(name, device) for name in REDUCED}
    return frozenset(name for name, is_fast in fast.items() if is_fast)


def float64_device(device: torch.device) -> torch.device:
    """Where float64 sums of a device's numbers are kept: on it, or on the CPU for Apple's GPU, which has no float64."""
    import torch

    return torch.device("cpu") if device.type == "mps" else device


def describe_precisions(device: str = "cpu") -> str:
    """What a device computes fast, in a few words for a person: "float32 and bfloat16", "float32 alone"."""
    reduced = [name for name in REDUCED if name in fast_precisions(device)]
    return " and ".join(["float32", *reduced]) if reduced else "float32 alone"


def _has_bfloat16_units() -> bool | None:
    """What torch knows of the processor; None where that does not decide.

    On Arm and elsewhere units alone are no answer: which convolutions use them depends on how torch was built.
    """
    import torch

    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if not capabilities:  # an older torch
        return None
    if platform.machine() not in X86:
        return None if capabilities.get("bf16") else False
    if not (capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")):
        return False
    return None if any(os.environ.get(name) for name in ONEDNN_LIMITS) or not torch.backends.mkldnn.enabled else True


def is_faster(precision: str, device: str) -> bool:
    """Whether a convolution as the video network has them is faster in `precision` than in float32, by the clock.

    Where the device refuses it, it is not. Takes some milliseconds.
    """
    try:
        with _one_thread():
            plain, reduced = (_convolution(name, device) for name in ("float32", precision))
            shortest = [min(run(), run()) for run in (plain, reduced)]  # the first call makes the kernel
            for _ in range(RUNS):
                if shortest[1] > HOPELESS * shortest[0]:
                    break
                shortest = [min(best, run()) for best, run in zip(shortest, (plain, reduced), strict=True)]
    except RuntimeError:  # no such kernel
        return False
    return shortest[0] > FASTER * shortest[1]


@contextmanager
def _one_thread() -> Generator[None, None, None]:
    """Several threads wait for each other wherever another process has one of their cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _convolution(precision: str, device: str) -> Callable[[], float]:
    """A call of one convolution (58 MFLOP) that returns its seconds; on a processor, of this thread's own work."""
    import torch

    on_processor = device.startswith("cpu")
    layout = torch.channels_last_3d if on_processor else torch.contiguous_format
    clock = time.thread_time if on_processor else time.perf_counter
    shapes = (1, 64, 4, 14, 14), (64, 64, 1, 3, 3)
    x, weight = (torch.ones(shape, dtype=getattr(torch, precision), device=device) for shape in shapes)
    x, weight = x.contiguous(memory_format=layout), weight.contiguous(memory_format=layout)

    @torch.inference_mode()
    def run() -> float:
        began = clock()
        y = torch.conv3d(x, weight, padding=(0, 1, 1))
        y.flatten()[0].item()  # waits for the device
        return clock() - began

    return run
