"""torchvision comes without torch's compiler, and both are whole afterwards: each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

LIGHT = """
import sys
from star.stages.torchvision_compat import models

assert models("video").mc3_18.__module__ == "torchvision.models.video.resnet"
print([name for name in sys.modules if name.startswith("torch._dynamo")])
"""
WHOLE = """
import torch
from star.stages.torchvision_compat import models

models()
from torchvision.ops import roi_align

torch.use_deterministic_algorithms(True)
print(roi_align(torch.ones(1, 1, 4, 4), [torch.tensor([[0.0, 0.0, 2.0, 2.0]])], 1).item())
from torchvision.ops.roi_align import is_compile_supported
import torch._dynamo.utils

compiler = torch._dynamo
print(is_compile_supported("cpu") == compiler.utils.is_compile_supported("cpu"), compiler.__file__ is not None)
"""
OTHER_VERSION = """
import sys
from star.stages import torchvision_compat as torchvision_adapter

torchvision_adapter.ASKED = "what_another_version_asks"
network = torchvision_adapter.models("video").mc3_18(weights=None)
print(type(network).__name__, "torch._dynamo.utils" in sys.modules)
"""


def run(program: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )


def test_without_the_compiler() -> None:
    assert run(LIGHT)[0] == "[]"


def test_both_are_whole_afterwards() -> None:
    assert run(WHOLE)[:2] == ["1.0", "True True"]


def test_a_torchvision_that_wants_more_of_the_compiler_gets_it() -> None:
    assert run(OTHER_VERSION)[0] == "VideoResNet True"
