"""What `bench_gpu.py` measures, group by group; each runs in a process of its own.

Every row is a figure and, where it is work that a device could do faster, its share of a ceiling of the same run: the
rate of a large bfloat16 product, the rate of a large copy, or of reading and cutting frames alone. `Sizes` says how
large everything is: FULL for a GPU, TINY to see on any machine that all of it works.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from feature_read import build
from penn import draw
from pose_parts import cutting, decoding
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from train_gpu import Steps, ceiling, wait

from star.errors import Interrupted
from star.pipeline.commands.test import run_test
from star.pipeline.commands.train import run_train
from star.pipeline.extraction import runner
from star.pipeline.extraction.decode_pool import VIDEOS_AHEAD, ahead
from star.pipeline.extraction.engine import open_engine
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.video_task import lend_slots, read_videos
from star.pipeline.planning.gpu_estimate import BACKBONE_FLOPS
from star.pipeline.planning.plan import plan
from star.pipeline.planning.work_units import units
from star.pipeline.recipe import presets
from star.pipeline.recipe import schema as recipes
from star.pipeline.utils.hardware import cores
from star.stages.backbone.stage import BackboneNetwork, BackboneStage
from star.stages.backbone.weights import load as load_mc3

PRODUCT, COPY, FRAMES = "the bfloat16 product", "the copy", "reading and cutting alone"


@dataclass(frozen=True)
class Sizes:
    """How large everything is."""

    side: int  # of the product
    copied: int  # bytes
    repeat: int
    backbone: tuple[tuple[int, int], ...]  # (px, clips of a batch)
    sequences: int
    views: int
    training: tuple[tuple[int, int, bool], ...]  # (px, clips of a batch, compiled)
    model: tuple[str, ...]  # settings of the networks that are trained
    attention: tuple[tuple[int, int], ...]  # (tokens, clips)
    epochs: int  # of `star train`


FULL = Sizes(
    side=8192, copied=2 << 30, repeat=30, backbone=((112, 32), (224, 8)), sequences=96, views=16,
    training=(
        (224, 4, False), (224, 16, False), (112, 4, False), (112, 64, False), (224, 4, True), (224, 16, True),
        (112, 64, True),
    ),
    model=(), attention=((1040, 16), (3392, 8)), epochs=300,
)  # fmt: skip
TINY = Sizes(
    side=256, copied=1 << 20, repeat=2, backbone=((32, 2), (48, 1)), sequences=4, views=2,
    training=((32, 2, False), (48, 2, False)),
    model=("model.width=32", "model.heads=2", "model.encoder_layers=1", "model.decoder_layers=1"),
    attention=((64, 1),), epochs=2,
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One figure. share: of the ceiling that `of` names. goal: of the share. note: what else is to be said."""

    what: str
    value: float
    unit: str
    share: float | None = None
    of: str = ""
    goal: float | None = None
    note: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Run:
    """What every group is told: the device, the sizes, a folder that stays, the ceilings, real data, when to stop."""

    device: torch.device
    sizes: Sizes
    folder: Path
    product: float  # FLOP/s
    copy: float  # bytes/s
    penn: Path | None
    deadline: float  # of time.monotonic()

    @property
    def tiny(self) -> bool:
        """Whether this only shows that all works."""
        return self.sizes is TINY


def seconds(run: Run, call: Callable[[], object], repeat: int | None = None) -> float:
    """Seconds a call, after a few that do not count."""
    count = repeat or run.sizes.repeat
    for _ in range(min(3, count)):
        call()
    wait(run.device)
    began = time.perf_counter()
    for _ in range(count):
        call()
    wait(run.device)
    return (time.perf_counter() - began) / count


def ceilings(run: Run) -> Iterator[Row]:
    """What all shares are of: a large product in bfloat16, and a large copy; and the product in FP8."""
    side = run.sizes.side
    product = ceiling(run.device, side, run.sizes.repeat)
    yield Row(f"{side}³ product, bfloat16", product / 1e12, "TFLOP/s")
    source = torch.empty(run.sizes.copied, dtype=torch.uint8, device=run.device)
    target = torch.empty_like(source)
    taken = seconds(run, lambda: target.copy_(source))
    yield Row("copy within memory, read and written", 2 * run.sizes.copied / taken / 1e9, "GB/s")
    yield from _fp8(run, product)


def _fp8(run: Run, product: float) -> Iterator[Row]:
    """A product of FP8 numbers with one scale a matrix, and how far it is from float32 for a linear layer's sizes."""
    if run.device.type != "cuda":
        return
    kind, one = torch.float8_e4m3fn, torch.ones((), device=run.device)

    def scaled(a: Tensor, b: Tensor) -> Tensor:
        return torch._scaled_mm(a, b.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)

    side = run.sizes.side
    a, b = (torch.randn(side, side, device=run.device).to(kind) for _ in range(2))
    rate = 2 * side**3 / seconds(run, lambda: scaled(a, b))
    x, w = torch.randn(4096, 512, device=run.device), torch.randn(2048, 512, device=run.device)
    exact = x @ w.t()
    away = {
        "FP8": scaled(x.to(kind), w.to(kind)).float(),
        "bfloat16": (x.bfloat16() @ w.bfloat16().t()).float(),
    }
    note = ", ".join(f"{name} {float((y - exact).norm() / exact.norm()):.1e}" for name, y in away.items())
    yield Row(
        f"{side}³ product, FP8", rate / 1e12, "TFLOP/s", rate / product, PRODUCT, note=f"error of 512 → 2048: {note}"
    )


def backbone(run: Run) -> Iterator[Row]:
    """mc3_18 as `star extract` runs it: on the device alone, and with the copies to it and from it."""
    for size, batch in run.sizes.backbone:
        stage = BackboneStage(weights="random", size=size)
        network = BackboneNetwork(stage, device=str(run.device), batch=batch)
        clips, features = network.allocate_clips(16), network.allocate_features(batch, 16)
        inside = torch.from_numpy(clips).to(run.device)
        flops = batch * BACKBONE_FLOPS * (size / 112) ** 2
        with torch.inference_mode():
            taken = seconds(run, partial(network._forward, inside))
        share = flops / taken / run.product
        name = f"backbone at {size}², batches of {batch}"
        yield Row(name, batch / taken, "clips/s", share, PRODUCT, 0.5, f"computes in {network.precision}")
        copied = seconds(run, partial(network.run, clips, features))
        yield Row(f"{name}, with copies, one thread", batch / copied, "clips/s", flops / copied / run.product, PRODUCT)
        for layer, took in _layers(run, network, inside):
            yield Row(f"of it {layer} at {size}²", took * 1e3, "ms", took / taken, "the backbone's time")


def _layers(run: Run, network: BackboneNetwork, frames: Tensor) -> Iterator[tuple[str, float]]:
    with torch.inference_mode():
        x = frames.float().permute(0, 4, 1, 2, 3).to(network._dtype)
        for name, layer in network.features.layers:
            yield name, seconds(run, partial(layer, x))
            x = layer(x)


def stem(run: Run) -> Iterator[Row]:
    """The first convolution, 3 × 7 × 7 over 3 channels, four ways; all give the same numbers up to rounding."""
    size, batch = run.sizes.backbone[0]
    conv: Any = load_mc3("random", 0, None).stem[0]
    dtype = torch.bfloat16 if run.device.type == "cuda" else torch.float32
    x = torch.randn(batch, 3, 16, size, size, device=run.device, dtype=dtype)
    weight = conv.weight.detach().to(run.device, dtype)
    flops = 2 * batch * 16 * (size // 2) ** 2 * weight.numel()
    with torch.inference_mode():
        exact = F.conv3d(x.float(), weight.float(), None, conv.stride, conv.padding)
        for name, way in _stems(x, weight, conv).items():
            away = float((way().float() - exact).norm() / exact.norm())
            taken = seconds(run, way)
            share = flops / taken / run.product
            yield Row(f"stem at {size}², {name}", taken * 1e3, "ms", share, PRODUCT, note=f"deviation {away:.1e}")


def _stems(x: Tensor, weight: Tensor, conv: Any) -> dict[str, Callable[[], Tensor]]:
    """Ways to the same output; what a batch must be brought to is within each, what weights must be is not."""
    layout = torch.channels_last_3d

    def widened(channels: int) -> Callable[[], Tensor]:
        wide = F.pad(weight, (0, 0) * 3 + (0, channels - 3)).contiguous(memory_format=layout)
        return lambda: F.conv3d(
            F.pad(x, (0, 0) * 3 + (0, channels - 3)).contiguous(memory_format=layout), wide, None, conv.stride,
            conv.padding,
        )  # fmt: skip

    def stacked(channels: int) -> Callable[[], Tensor]:
        """Three frames side by side as 9 channels, zeros up to `channels`: a 2-D convolution."""
        flat = F.pad(weight.transpose(1, 2).flatten(1, 2), (0, 0) * 2 + (0, channels - 9))
        flat = flat.contiguous(memory_format=torch.channels_last)

        def call() -> Tensor:
            (b, _, t), apart = x.shape[:3], F.pad(x, (0, 0) * 2 + (1, 1))
            near = torch.cat([apart[:, :, k : k + t] for k in range(3)], 1)  # b 9 t y x
            near = F.pad(near, (0, 0) * 3 + (0, channels - 9)).transpose(1, 2).flatten(0, 1)
            found = F.conv2d(near.contiguous(memory_format=torch.channels_last), flat, None, conv.stride[1:], 3)
            return found.unflatten(0, (b, t)).transpose(1, 2)

        return call

    usual = weight.contiguous(memory_format=layout)
    as_it_is = x.contiguous(memory_format=layout)
    return {
        "3 channels, as star has it": lambda: F.conv3d(as_it_is, usual, None, conv.stride, conv.padding),
        "4 channels": widened(4),
        "8 channels": widened(8),
        "2-D over 3 stacked frames, 12 channels": stacked(12),
        "2-D over 3 stacked frames, 16 channels": stacked(16),
    }


RECIPE = """
dataset: {{kind: penn_action, root: {root}}}
cache: {{root: {cache}, segment: 16}}
decode: {{views: {{train: {views}, test: {views}}}}}
backbone: {{weights: random, crop: person, size: {size}, batch: {batch}}}
"""


def sequences(run: Run) -> Path:
    """Drawn frame folders, made once."""
    root = run.folder / f"drawn{run.sizes.sequences}"
    if not (root / "whole").exists():
        draw(root, run.sizes.sequences, workers=min(cores(), 16))
        (root / "whole").touch()
    return root


def extraction(run: Run) -> Iterator[Row]:
    """All five stages of frame folders, against reading and cutting the same frames alone, by the same processes."""
    for size, batch in run.sizes.backbone:
        cache = run.folder / f"extraction{size}-{time.time_ns()}"
        text = RECIPE.format(root=sequences(run), cache=cache, views=run.sizes.views, size=size, batch=batch)
        recipe = recipes.parse(text)
        alone = _frames_alone(run, recipe)
        yield Row(f"reading and cutting to {size}²", alone, "clips/s")
        execution = ExecutionConfig(device=str(run.device))
        _, outcome = runner.extract(recipe, execution=execution, quiet=True)
        ends = sorted(path.stat().st_mtime_ns for path in (cache / "tokens").rglob("*.h5"))
        rate = outcome.clips / outcome.wall
        if len(ends) > 1:  # between the first segment and the last: without the start
            rate = (outcome.clips - recipe.cache.segment) / max(ends[-1] - ends[0], 1) * 1e9
        yield Row(f"`star extract` at {size}²", rate, "clips/s", rate / alone, FRAMES, 0.9, _limit(outcome))
        shutil.rmtree(cache)


def _limit(outcome: Any) -> str:
    spent = {name: round(value, 1) for name, value in outcome.seconds.items() if value >= 0.05}
    return f"{outcome.clips} clips in {outcome.wall:.0f} s; seconds by what they went to: {spent}"


def _frames_alone(run: Run, recipe: recipes.Recipe) -> float:
    """Clips a second of the decoding processes, when nothing is done with what they give; their start left out."""
    execution, planned = ExecutionConfig(device=str(run.device)), plan(recipe)
    processes = execution.children
    began, clips, first = 0.0, 0, 0
    with open_engine(recipe, planned.graph, str(run.device), processes, planned.manifest.skeleton) as engine:
        pool = engine.pool
        tasks = (lend_slots(pool.slots, task) for unit in units(planned) for task in engine.reader.tasks(unit))
        stream = ahead(tasks, lambda task: pool.submit(read_videos, task), VIDEOS_AHEAD * processes)
        for number, (task, future) in enumerate(stream):
            pool.outcome(future, task.name)
            pool.slots.give_back(task.slots)
            clips += sum(len(one.views) for one in task.tasks)
            if number == min(processes, len(planned.manifest.videos) // 2) - 1:
                began, first = time.perf_counter(), clips
    return (clips - first) / (time.perf_counter() - began)


def pose(run: Run) -> Iterator[Row]:
    """Crops of two people in 16 frames of full HD, and the decoding of 32 × 17 joints, as their parts are called."""
    crops = 16 * 2 * 192 * 256 * 3 * 5  # bytes: four neighbours read and one written
    maps = {"MSRAHeatmap": 4 * 48 * 64, "UDPHeatmap": 4 * 48 * 64, "SimCCLabel": 4 * 2 * (192 + 256)}
    for name, call in {**cutting(str(run.device)), **decoding(str(run.device))}.items():
        if run.tiny and ("grid_sample" in name or "mmpose's" in name):
            continue
        taken = seconds(run, call, 1 if run.tiny else 5)
        moved = crops if name.startswith("crops") else 32 * 17 * next(maps[kind] for kind in maps if kind in name)
        yield Row(name, taken * 1e3, "ms", moved / taken / run.copy, "the copy")


def training(run: Run) -> Iterator[Row]:
    """Steps of `star train` with the paper's network, features on the device: 3,392 tokens at 224 px, 1,040 at 112."""
    for size, batch, compiled in run.sizes.training:
        cells, side = size // 16, size // 4
        joint = 128 if size == max(px for px, *_ in run.sizes.training) else side * side
        shapes = {"global_grid": (16, 512, cells, cells), "joint_map": (16, 13, joint)}
        others = (*run.sizes.model, f"backbone.size={size}", "train.augment={}", "train.precision=auto")
        folder = run.folder / f"features{size}-{time.time_ns()}"
        torch._dynamo.reset()
        folder.mkdir(parents=True)
        selection = build(folder, 4 * batch, shapes=shapes)
        steps = Steps(selection, run.device, batch, compiled=compiled, others=others)
        steps.run(2 if run.tiny else 8)
        taken, _ = steps.run(2 if run.tiny else run.sizes.repeat)
        tokens = 16 * (cells * cells + 13 + 3)
        name = f"training step, {tokens:,} tokens, batches of {batch}{', compiled' * compiled}"
        note = f"{batch / taken:.0f} clips/s; queued in {steps.queued(2) * 1e3:.1f} ms; {steps.learner.precision}"
        yield Row(name, taken * 1e3, "ms", steps.flops / taken / run.product, PRODUCT, 0.5, note)
        shutil.rmtree(folder)


def attention(run: Run) -> Iterator[Row]:
    """softmax(QKᵀ/√64)V with 8 heads of 64, forward and backward, by each of torch's ways that this device has."""
    backends = {
        "cuDNN": SDPBackend.CUDNN_ATTENTION, "Flash": SDPBackend.FLASH_ATTENTION,
        "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    }  # fmt: skip
    ways: dict[str, Callable[..., Tensor]] = {
        name: partial(_by_backend, backend) for name, backend in backends.items()
    } | ({} if run.tiny else {"FlexAttention, compiled": _flex()})
    dtype = torch.bfloat16 if run.device.type == "cuda" else torch.float32
    for tokens, batch in run.sizes.attention:
        q, k, v = (
            torch.randn(batch, 8, tokens, 64, device=run.device, dtype=dtype, requires_grad=True) for _ in range(3)
        )
        flops = 4 * batch * 8 * tokens**2 * 64
        for name, way in ways.items():

            def both(way: Callable[..., Tensor] = way, q: Tensor = q, k: Tensor = k, v: Tensor = v) -> None:
                way(q, k, v).sum().backward()

            label = f"attention, {tokens:,} tokens, batches of {batch}, {name}"
            try:
                with torch.no_grad():
                    forward = seconds(run, partial(way, q, k, v))
                taken = seconds(run, both)
            except RuntimeError as error:
                reason = str(error).strip().splitlines()[0][:80]
                yield Row(label, 0.0, "ms", note=f"not here: {reason}")
                continue
            note = f"forward {forward * 1e3:.2f} ms, {flops / forward / run.product:.0%} of the product"
            yield Row(
                f"{label}, forward and backward", taken * 1e3, "ms", 3 * flops / taken / run.product, PRODUCT, note=note
            )


def _by_backend(backend: SDPBackend, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    with sdpa_kernel(backend):
        return F.scaled_dot_product_attention(q, k, v)


def _flex() -> Callable[..., Tensor]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


def runs(run: Run) -> Iterator[Row]:
    """`star train` for 300 epochs with the networks of `fast` and of `paper`, until the time is up; a later call of the
    script goes on where this one stopped."""
    for preset in ("fast", "paper"):
        yield _run_of(run, preset)


def _run_of(run: Run, preset: str) -> Row:
    root = run.penn or sequences(run)
    text = presets.ready("penn-action", root, run.folder / f"cache-{root.name}", preset)
    small = (f"backbone.size={48 if preset == 'paper' else 32}", *run.sizes.model) if run.tiny else ()
    others = ("backbone.weights=random", f"train.epochs={run.sizes.epochs}", "train.tensorboard=false",
              "train.evaluate_every=10", "backbone.keep=grid", *small)  # fmt: skip
    recipe = recipes.parse(text, overrides=others)
    began = time.monotonic()
    runner.extract(recipe, execution=ExecutionConfig(device=str(run.device)), quiet=True)
    extracted = time.monotonic() - began
    folder = run.folder / f"run-{preset}-{root.name}"
    timer = _interrupt_at(run.deadline)
    try:
        run_train(recipe, folder, device=str(run.device), resume=folder.exists(), quiet=True)
    except Interrupted:
        pass
    finally:
        timer.cancel()
    rows = [line for line in (folder / "metrics.jsonl").read_text().splitlines() if line.strip()]
    return _judged(run, recipe, folder, preset, rows, extracted)


def _judged(run: Run, recipe: recipes.Recipe, folder: Path, preset: str, rows: list[str], extracted: float) -> Row:
    epochs = [json.loads(line) for line in rows]
    done = len(epochs)
    spent = sum(row["seconds"] for row in epochs)
    whole = spent / max(done, 1) * run.sizes.epochs
    name = f"`star train`, preset {preset}, {run.sizes.epochs} epochs"
    note = f"{done} done in {spent:.0f} s; extraction took {extracted:.0f} s more"
    if done == run.sizes.epochs:
        found = run_test(recipe, folder, device=str(run.device), quiet=True).evaluation.summary
        note += f"; test top-1 {found['top1']:.1%} of {found['clips']} clips"
    return Row(name, whole, "s", note=note)


def _interrupt_at(deadline: float) -> Any:
    """A Ctrl-C when the time is up: `star train` then saves all and stops."""
    timer = threading.Timer(max(deadline - time.monotonic(), 0.1), os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()
    return timer


GROUPS: dict[str, tuple[Callable[[Run], Iterator[Row]], int]] = {  # and the seconds that it should have on an H200
    "ceilings": (ceilings, 15),
    "backbone": (backbone, 25),
    "stem": (stem, 15),
    "training": (training, 150),
    "attention": (attention, 60),
    "extraction": (extraction, 60),
    "pose": (pose, 30),
    "runs": (runs, 60),
}
