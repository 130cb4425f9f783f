"""Question: does another engine run the video network faster than star's own calls of oneDNN?

star       `BackboneNetwork`: batch norms folded, oneDNN's convolutions with what follows fused, 4 clips at a time
compiled   torchvision's modules through torch.compile with inductor's freezing, which folds and fuses by itself
onnx       exported to ONNX, ONNX Runtime's CPU kernels; float32 alone: they have no bfloat16 for it

All get the same pixels, normalised, channels last where that helps, and give both layers' activations. One thread,
processor's time, in turns: an engine that splits its work well over threads is no better where each lane has one.
(oneDNN graph can only be had through TorchScript, which is deprecated; with torch 2.15 this network's second pass ends
with "bad optional access".)

    python benchmarks/backbone_engines.py [--batch 4] [--repeat 3]
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from claims import claim, skipped
from common import options, turns
from torch import Tensor, nn

from star.pipeline.utils import process_settings
from star.stages.backbone.architectures import LAYERS
from star.stages.backbone.stage import BackboneNetwork, BackboneStage
from star.stages.backbone.weights import load
from star.stages.precision import compute_precision

SIDE, FRAMES = 112, 16
Run = Callable[[Tensor], object]


class Both(nn.Module):
    """torchvision's network, up to layer4: pixels (b, 3, T, y, x) -> layer2's and layer4's activations."""

    def __init__(self) -> None:
        super().__init__()
        model = load("random")
        self.parts = nn.ModuleList(getattr(model, name) for name in LAYERS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As `BackboneNetwork`, without its normalising and storing."""
        kept = []
        for part in self.parts:
            x = part(x)
            kept.append(x)
        return kept[2], kept[4]


def own(dtype: torch.dtype) -> Run:
    """star's folded layers."""
    network = BackboneNetwork(BackboneStage(weights="random", precision=str(dtype).removeprefix("torch.")))

    def run(x: Tensor) -> list[Tensor]:
        kept = []
        for _, layer in network.features.layers:
            x = layer(x, keep=len(kept) == 3)
            kept.append(x)
        return kept[2::2]

    return run


def ready(dtype: torch.dtype) -> nn.Module:
    """The modules in their type and memory order."""
    return Both().eval().to(dtype).to(memory_format=torch.channels_last_3d)


def compiled(dtype: torch.dtype) -> Run:
    """inductor, with frozen weights."""
    from torch._inductor import config

    config.freezing = True
    return torch.compile(ready(dtype))


def onnx(example: Tensor, folder: Path) -> Run:
    """ONNX Runtime on one thread."""
    import onnxruntime

    file = folder / "mc3.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Both().eval(), (example.contiguous(),), str(file), dynamo=True, verbose=False)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x.contiguous().numpy()})


def main() -> None:
    """Print a table; an engine that cannot be had is left out, and says why."""
    asked = options(__doc__, batch=4, repeat=3).parse_args()
    process_settings.reuse_freed_memory()
    torch.set_num_threads(1)
    pixels = torch.randn(asked.batch, 3, FRAMES, SIDE, SIDE).contiguous(memory_format=torch.channels_last_3d)
    ways: dict[str, Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        fast = [torch.bfloat16] if compute_precision("bfloat16") == "bfloat16" else []  # else star computes in float32
        for dtype in (*fast, torch.float32):
            short, x = str(dtype).removeprefix("torch."), pixels.to(dtype)
            engines: dict[str, Callable[[], Run]] = {
                "star": partial(own, dtype),
                "torch.compile": partial(compiled, dtype),
            }
            if dtype == torch.float32:
                engines["ONNX Runtime"] = partial(onnx, pixels, Path(folder))
            for name, make in engines.items():
                try:
                    run = make()
                    run(x)
                except Exception as error:  # an engine's own, of any kind
                    skipped(f"the backbone, {short}, against {name}", f"{type(error).__name__} in the engine")
                    print(f"{name}, {short}: {' '.join(str(error).split())[:150]}")
                    continue
                ways[f"{name}, {short}"] = partial(run, x)
        seconds = turns(ways, asked.repeat, clock=time.process_time)
    for what, taken in seconds.items():
        name, short = what.split(", ")
        mine = seconds[f"star, {short}"]
        print(f"{what:24} {taken / asked.batch * 1000:7.1f} core ms a clip   {taken / mine:5.2f} x star's time")
        if name != "star":
            claim(
                f"the backbone, {short}: no other engine is faster",
                mine / asked.batch * 1000,
                "core ms a clip",
                against=name,
                other=taken / asked.batch * 1000,
                ratio=taken / mine,
                goal=(">=", 0.95),
            )


if __name__ == "__main__":
    main()
