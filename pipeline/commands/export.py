"""`star export`: a trained network for other runtimes."""

from __future__ import annotations

from pathlib import Path

from ..training.model_factory import export
from .result import Result


def run_export(run: Path, out: Path, kind: str) -> Result:
    """`star export`. kind: of the file, "onnx"."""
    document = export(run, out)
    return Result(document, [f"{kind}: {out}, inputs {', '.join(document['inputs'])}, output logits"])
