"""`star export`: a trained network for other runtimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evaluation.export_run import export


@dataclass(frozen=True)
class ExportedNetwork:
    """The file that was written. kind: its format. inputs: by name, the shape of one clip's. outputs: their names."""

    path: Path
    kind: str
    classes: Sequence[str]
    inputs: Mapping[str, Sequence[int]]
    outputs: Sequence[str] = ("logits",)
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        inputs = {name: list(shape) for name, shape in self.inputs.items()}
        return {
            self.kind: str(self.path), "classes": list(self.classes), "inputs": inputs, "outputs": list(self.outputs),
        }  # fmt: skip

    def to_lines(self) -> list[str]:
        """One line."""
        return [f"{self.kind}: {self.path}, inputs {', '.join(self.inputs)}, output {' and '.join(self.outputs)}"]


def run_export(run: Path, out: Path, kind: str, beginning: str = "tokens") -> ExportedNetwork:
    """`star export`. kind: of the file, "onnx". beginning: what it takes, see `onnx_export.export`."""
    written = export(run, out, beginning)
    return ExportedNetwork(out, kind, written["classes"], written["inputs"], written["outputs"])
