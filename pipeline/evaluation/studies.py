"""The ablations: for each study, its variants by name and the settings that they lay over a recipe.

tokens, depth, modules and the looks of FAttn, ZAttn and BAttn are the paper's four tables; joint-token, position,
no-attention, frames, backbones and data are what its readers ask; training sets the paper's beside a shorter one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product

from ...errors import UsageError
from ...stages.backbone.architectures import ARCHITECTURES
from ...untrusted_files import UntrustedFile, parse_yaml
from ..recipe.presets import train_settings

Variants = Mapping[str, tuple[str, ...]]


def _modules(encoder: str, decoder: str) -> tuple[str, ...]:
    return tuple(
        f"model.{part}=[{', '.join(letters)}]" for part, letters in (("encoder", encoder), ("decoder", decoder))
    )


# What has no joint maps cannot move them, and what has no joints cannot drop them: training refuses such settings.
_STILL = tuple(f"train.augment.{name}=0" for name in ("shift", "scale", "stretch", "rotation", "joint_jitter"))
_WITHOUT = {"pool": _STILL, "concat_conv": ("train.augment.rotation=0",)}
_GLOBAL = ("model.modalities=global", *_STILL, "train.augment.joint_dropout=0")


def fold_variants(folds: int) -> Variants:
    """One variant for each of a data set's folds. Raises UsageError where the recipe has none."""
    if folds < 2:
        raise UsageError("--study folds: dataset.folds says how many; --set dataset.folds=5, and split_by for groups")
    return {f"fold {number}": (f"dataset.held_out={number}",) for number in range(1, folds + 1)}


def grid(vary: Sequence[str]) -> tuple[str, Variants]:
    """A study of one's own: its name, and every combination of the values of some settings.

    vary: `section.key=value,value`, values read as YAML (a list is one value: `model.encoder=[F],[F, Z]`). Raises
    UsageError where one is not written so, or names a setting twice.
    """
    axes: dict[str, list[str]] = {}
    for words in vary:
        key, equals, values = words.partition("=")
        try:
            found = parse_yaml(f"[{values}]") if equals else []
        except UntrustedFile:
            found = []
        if not found:
            raise UsageError(f"--vary {words}: expected section.key=value,value")
        if key in axes or key == "train.seed":
            why = "seeds are varied by --seeds" if key == "train.seed" else "is varied twice; name all values at once"
            raise UsageError(f"--vary {words}: {why}")
        axes[key] = [json.dumps(value, default=str) for value in found]
    name = f"grid {' '.join(axes)}"
    rows = [[f"{key}={value}" for key, value in zip(axes, values, strict=True)] for values in product(*axes.values())]
    return name, {", ".join(row).replace('"', ""): tuple(row) for row in rows}


STUDIES: Mapping[str, Variants] = {
    "tokens": {
        "global": (*_GLOBAL, "model.class_tokens=none", "model.readout=mean"),
        "joint": ("model.modalities=joint", "model.class_tokens=none", "model.readout=mean"),
        "global + joint": ("model.modalities=both", "model.class_tokens=none", "model.readout=mean"),
        "global + class": _GLOBAL,
        "joint + class": ("model.modalities=joint",),
        "global + joint + class": ("model.modalities=both",),
    },
    "modules": {
        "F | F": _modules("F", "F"),
        "FF | FF": _modules("FF", "FF"),
        "Z | B": _modules("Z", "B"),
        "FZ | FZ": _modules("FZ", "FZ"),
        "FB | FB": _modules("FB", "FB"),
        "FB | FZ": _modules("FB", "FZ"),
        "ZF | BF": _modules("ZF", "BF"),
        "FZ | FB": _modules("FZ", "FB"),
    },
    "depth": {
        f"{layers} + {layers}": (f"model.encoder_layers={layers}", f"model.decoder_layers={layers}")
        for layers in (1, 2, 3, 4)
    },
    "joint-token": {
        form: (f"tokens.form={form}", "model.modalities=joint", *_WITHOUT.get(form, ()))
        for form in ("pool", "pool_map", "map", "heatmap", "concat_conv")
    },
    "position": {place: (f"model.position={place}",) for place in ("none", "joint", "all")},
    "no-attention": {
        "average": (*_modules("A", "A"), "model.position=none"),
        "attention, no position": (*_modules("FZ", "FB"), "model.position=none"),
        "attention, no position, branches apart": (
            *_modules("FZ", "FB"),
            "model.position=none",
            "model.share_branches=false",
        ),
        "attention": _modules("FZ", "FB"),
    },
    "frames": {
        **{f"{count} frames": (f"decode.frames={count}",) for count in (4, 8, 16)},
        **{f"16 frames, {way}": (f"decode.sampling={way}",) for way in ("linspace", "window")},
    },
    "training": {name: (f"train={json.dumps(train_settings(name))}",) for name in ("paper", "fast")},
    "backbones": {
        model: (
            f"backbone.model={model}",
            f"backbone.global_layer={known.layers[0]}",
            f"backbone.local_layer={known.layers[1]}",
        )
        for model, known in ARCHITECTURES.items()
    },
    "folds": {},  # one variant for each of dataset.folds
    "data": {f"{share:.0%}": (f"train.fraction={share}",) for share in (0.01, 0.05, 0.1, 0.25, 1.0)},
}
