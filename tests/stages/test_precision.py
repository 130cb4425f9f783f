"""What a precision means on a device: at least as exact as it says, and never slower than float32."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from star.stages import precision
from star.stages.backbone.fused import FusedConvolution
from star.stages.backbone.stage import BackboneNetwork, BackboneStage

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
X86 = pytest.mark.skipif(precision.platform.machine() not in precision.X86, reason="sets x86's instruction sets")
FEATURES = """
import sys
import numpy as np
from star.stages.backbone.stage import BackboneNetwork, BackboneStage
network = BackboneNetwork(BackboneStage(weights="random", size=48, precision=sys.argv[1]))
frames = np.random.default_rng(0).integers(0, 255, (2, 16, 48, 48, 3), dtype=np.uint8)
np.savez(sys.argv[2], precision=network.precision, **network(frames))
"""


@pytest.fixture(autouse=True)
def _forgotten():
    """Each test asks the device anew."""
    precision.fast_precisions.cache_clear()
    yield
    precision.fast_precisions.cache_clear()


def processor(monkeypatch: pytest.MonkeyPatch, machine: str, **units: bool) -> None:
    """A processor with these units, and no limits on oneDNN."""
    monkeypatch.setattr(precision.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": machine, **units}, raising=False)
    for name in precision.ONEDNN_LIMITS:
        monkeypatch.delenv(name, raising=False)


def measured(monkeypatch: pytest.MonkeyPatch, answer: bool) -> list[str]:
    """Replace the measurement; returns the devices that it was asked of."""
    asked: list[str] = []
    monkeypatch.setattr(precision, "is_faster", lambda name, device: asked.append(device) or answer)
    return asked


@pytest.mark.parametrize("units", ["avx512_bf16", "amx_bf16"])
def test_units_for_bfloat16_are_used(monkeypatch, units):
    asked = measured(monkeypatch, False)
    processor(monkeypatch, "x86_64", avx512_f=True, **{units: True})
    assert precision.compute_precision("bfloat16") == precision.compute_precision("auto") == "bfloat16"
    assert asked == []


@pytest.mark.parametrize("machine", ["x86_64", "AMD64"])
def test_x86_without_units_computes_in_float32_and_measures_nothing(monkeypatch, machine):
    asked = measured(monkeypatch, True)
    processor(monkeypatch, machine, avx512_f=True, avx512_vnni=True)
    for setting in ("bfloat16", "float16", "auto", "float32"):
        assert precision.compute_precision(setting) == "float32"
    assert (asked, precision.describe_precisions()) == ([], "float32 alone")


def test_arm_without_bfloat16_is_not_measured_and_with_it_is(monkeypatch):
    asked = measured(monkeypatch, True)
    processor(monkeypatch, "aarch64", bf16=False, sve=True)
    assert precision.compute_precision("bfloat16") == "float32"
    precision.fast_precisions.cache_clear()
    processor(monkeypatch, "aarch64", bf16=True)
    assert precision.compute_precision("bfloat16") == "bfloat16"
    assert asked == ["cpu"]


@pytest.mark.parametrize("answer", [False, True])
def test_a_processor_that_torch_cannot_tell_of_is_measured_once(monkeypatch, answer):
    asked = measured(monkeypatch, answer)
    processor(monkeypatch, "x86_64")
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    used = [precision.compute_precision("bfloat16") for _ in range(3)]
    assert (used, asked) == (["bfloat16" if answer else "float32"] * 3, ["cpu"])


@pytest.mark.parametrize("name", precision.ONEDNN_LIMITS)
def test_units_that_onednn_is_told_to_leave_unused_are_measured(monkeypatch, name):
    asked = measured(monkeypatch, False)
    processor(monkeypatch, "x86_64", avx512_bf16=True)
    monkeypatch.setenv(name, "AVX2")
    assert (precision.compute_precision("bfloat16"), asked) == ("float32", ["cpu"])


@pytest.mark.parametrize(
    ("bfloat16", "capability", "fast"),
    [
        (True, (9, 0), {"bfloat16", "float16", "float32"}),
        (False, (7, 5), {"float16", "float32"}),
        (False, (6, 1), {"float32"}),
    ],
)
def test_a_gpu_is_asked(monkeypatch, bfloat16, capability, fast):
    """Hopper, Turing, Pascal. torch counts emulated bfloat16 as supported unless asked not to."""

    def supported(including_emulation: bool = True) -> bool:
        return bfloat16 or including_emulation

    monkeypatch.setattr(torch.cuda, "device", lambda _device: precision._one_thread())
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert precision.fast_precisions("cuda:1") == fast


def test_another_device_is_measured_and_keeps_sums_where_float64_is(monkeypatch):
    asked = measured(monkeypatch, True)
    assert precision.compute_precision("float16", "mps") == "float16"
    assert asked == ["mps", "mps"]
    assert precision.float64_device(torch.device("mps")) == torch.device("cpu")
    assert precision.float64_device(torch.device("cuda:1")) == torch.device("cuda:1")


def test_a_precision_that_the_device_refuses_is_not_faster(monkeypatch):
    def refusing(name: str, device: str):
        def run() -> float:
            raise RuntimeError("mkldnn_convolution: bf16 path needs the cpu support")

        return run if name != "float32" else lambda: 1.0

    monkeypatch.setattr(precision, "_convolution", refusing)
    assert not precision.is_faster("bfloat16", "cpu")


@pytest.mark.parametrize(("reduced", "faster"), [(0.4, True), (0.9, False), (60.0, False)])
def test_the_measurement_wants_a_clear_gain(monkeypatch, reduced, faster):
    threads = torch.get_num_threads()
    seconds = {"float32": 1.0, "bfloat16": reduced}
    monkeypatch.setattr(precision, "_convolution", lambda name, _device: lambda: seconds[name])
    assert precision.is_faster("bfloat16", "cpu") is faster
    assert torch.get_num_threads() == threads


def features(tmp_path, setting: str, environment: dict[str, str]) -> dict[str, np.ndarray]:
    """Two clips through the backbone of another process."""
    path = tmp_path / f"{setting}-{len(environment)}.npz"
    command = [sys.executable, "-c", FEATURES, setting, str(path)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1", **environment})
    return dict(np.load(path))


@X86
def test_features_differ_by_less_than_the_tolerance(tmp_path):
    """This machine and a desktop without bfloat16, under every setting: the key is one, the values close."""
    exact = features(tmp_path, "float32", {})
    for setting in ("bfloat16", "float32"):
        desktop = features(tmp_path, setting, AVX2)
        here = features(tmp_path, setting, {})
        assert str(desktop["precision"]) == "float32"
        assert str(here["precision"]) == precision.compute_precision(setting)
        for array in ("global_grid", "local_map"):
            for clip in range(2):
                values = [one[array][clip].astype(np.float64) for one in (here, desktop, exact)]
                norm = np.linalg.norm(values[2])
                assert np.linalg.norm(values[0] - values[1]) <= precision.TOLERANCE[setting] * norm
                assert np.linalg.norm(values[0] - values[2]) <= precision.TOLERANCE[setting] * norm


@pytest.mark.parametrize("setting", ["bfloat16", "float16"])
def test_rounded_inputs_stay_within_the_tolerance(monkeypatch, setting):
    """What a GPU's units give, as far as a CPU can say: inputs and weights of all convolutions rounded, sums exact."""
    frames = np.random.default_rng(1).integers(0, 255, (1, 16, 48, 48, 3), dtype=np.uint8)
    network = BackboneNetwork(BackboneStage(weights="random", size=48, precision="float32"))
    exact = network(frames)
    dtype, convolve = getattr(torch, setting), FusedConvolution.__call__

    def rounding(self, x, **options):
        self.weight.copy_(self.weight.to(dtype))
        return convolve(self, x.to(dtype).float(), **options)

    monkeypatch.setattr(FusedConvolution, "__call__", rounding)
    rounded = network(frames)
    for name, values in exact.items():
        distance = np.linalg.norm(rounded[name].astype(float) - values.astype(float))
        assert 0 < distance <= precision.TOLERANCE[setting] * np.linalg.norm(values.astype(float))
