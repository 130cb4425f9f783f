"""A trained network for other runtimes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import MissingPackage
from .transformer.model import STARTransformer


def export_onnx(
    network: STARTransformer,
    path: Path,
    *,
    map_size: int = 28,
    classes: Sequence[str] = (),
    properties: Mapping[str, str] | None = None,
) -> Path:
    """Write the network, in eval mode, as one ONNX file and return its path.

    Inputs are float32 and carry the names of the cached arrays (`model_factory.inputs`), the output is `logits`
    (clips, classes); only the number of clips is free. map_size: rows and columns of local maps, for concat_conv.
    classes: their names, in the order of the logits, kept in the file as its metadata `classes`, a JSON list.
    properties: further metadata. Raises MissingPackage without onnx and onnxscript (the extra `star[onnx]`).
    """
    notes = {**({"classes": json.dumps(list(classes))} if classes else {}), **(properties or {})}
    return write_onnx(network, network.example(2, map_size), ("logits",), path, notes)


def write_onnx(
    module: nn.Module, example: Mapping[str, Tensor], outputs: Sequence[str], path: Path, properties: Mapping[str, str]
) -> Path:
    """Write a module, in eval mode, as one ONNX file and return its path.

    example: its inputs by name, of two clips; only the number of clips is free. properties: the file's metadata.
    Raises MissingPackage as `export_onnx` does.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise MissingPackage(f"ONNX export needs the package {error.name}; pip install 'star[onnx]'") from None
    was_training = module.training
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "# The axis name"
            )  # that several inputs share the number of clips is meant
            clips = torch.export.Dim("clips")
            torch.onnx.export(
                module.eval(),
                kwargs=dict(example),
                f=str(path),
                input_names=list(example),
                output_names=list(outputs),
                dynamic_shapes={name: {0: clips} for name in example},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        module.train(was_training)
    if properties:
        model = onnx.load(path)
        onnx.helper.set_model_props(model, dict(properties))
        onnx.save(model, path)
    return path
