"""A trained network for other runtimes."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from ...errors import MissingPackage
from .model import STARTransformer


def export_onnx(network: STARTransformer, path: Path, *, map_size: int = 28, classes: Sequence[str] = ()) -> Path:
    """Write the network, in eval mode, as one ONNX file and return its path.

    Inputs are float32 and carry the names of the cached arrays (`model_factory.inputs`), the output is `logits`
    (clips, classes); only the number of clips is free. map_size: rows and columns of local maps, for concat_conv.
    classes: their names, in the order of the logits, kept in the file as its metadata `classes`, a JSON list.
    Raises MissingPackage without onnx and onnxscript (the extra `star[onnx]`).
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise MissingPackage(f"ONNX export needs the package {error.name}; pip install 'star[onnx]'") from None
    was_training, example = network.training, network.example(2, map_size)
    clips = torch.export.Dim("clips")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "# The axis name"
            )  # that several inputs share the number of clips is meant
            torch.onnx.export(
                network.eval(),
                kwargs=dict(example),
                f=str(path),
                input_names=list(example),
                output_names=["logits"],
                dynamic_shapes={name: {0: clips} for name in example},
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        network.train(was_training)
    if classes:
        model = onnx.load(path)
        onnx.helper.set_model_props(model, {"classes": json.dumps(list(classes))})
        onnx.save(model, path)
    return path
