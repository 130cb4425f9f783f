"""ONNX."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from star.errors import MissingPackage
from star.stages.onnx_export import export_onnx
from star.stages.transformer import STARTransformer

SETTINGS = {
    "default": {},
    "unusual": {
        "concat_conv": True, "local_channels": 4, "share_branches": False, "order": "concatenate", "norm": "pre",
        "encoder": "AZ", "class_tokens": "clip", "readout": "mean",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ["default", pytest.param("unusual", marks=pytest.mark.soak)])
def test_onnxruntime_gives_pytorchs_logits(name, tmp_path):
    """One file, inputs named like the cached arrays, any number of clips; logits agree to 1e-5."""
    onnxruntime = pytest.importorskip("onnxruntime")
    sizes = {"frames": 4, "grid_channels": 6, "grid_cells": 4, "joint_channels": 7, "width": 16, "heads": 2}
    torch.manual_seed(0)
    network = STARTransformer(classes=5, joints=3, encoder_layers=1, decoder_layers=1, **sizes, **SETTINGS[name])
    names = ["bow", "läuft", "wave", "\udcff", ""]
    path = export_onnx(network, tmp_path / "network.onnx", map_size=5, classes=names)
    assert network.training
    assert list(tmp_path.iterdir()) == [path]
    session = onnxruntime.InferenceSession(str(path))
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == names
    assert [i.name for i in session.get_inputs()] == list(network.inputs)
    arrays = {name: torch.rand(array.shape) for name, array in network.example(3, map_size=5).items()}
    (found,) = session.run(["logits"], {name: array.numpy() for name, array in arrays.items()})
    np.testing.assert_allclose(found, network.eval()(**arrays).detach().numpy(), atol=1e-5)


def test_without_onnx(monkeypatch, tmp_path):
    """The message names the package and the extra that brings it."""
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(MissingPackage) as error:
        export_onnx(STARTransformer(classes=2, joints=2, width=8), tmp_path / "network.onnx")
    assert str(error.value) == "ONNX export needs the package onnxscript; pip install 'star[onnx]'"
