"""Transfer: a training that begins with the weights of another run, also of other classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError, WeightsError
from ...stages.transformer import STARTransformer
from ..recipe.schema import Recipe
from . import checkpoint


@dataclass(frozen=True)
class Start:
    """What a training begins with.

    run: the folder of a trained network, None for random weights. freeze: all but the head stays as it is there.
    """

    run: Path | None = None
    freeze: bool = False

    def put(self, network: STARTransformer, recipe: Recipe) -> None:
        """Give the network the run's weights, and the statistics by which it standardises; the last layer of the head
        stays random where the classes are others.

        Raises UsageError where the run has no checkpoint, WeightsError with the first part that does not fit.
        """
        assert self.run is not None
        path = self.run / recipe.test.checkpoint / "weights.safetensors"
        weights, _ = checkpoint.read(path)
        own = network.state_dict()
        heads = [name for name in own if name.startswith("head.")]
        prefix = max(heads).rpartition(".")[0]  # of the layer that gives the classes' scores
        last = {name for name in heads if name.rpartition(".")[0] == prefix}
        fitting = {name: weights.get(name, own[name]) if name in last else weights.get(name) for name in own}
        for name in last:
            if name in weights and weights[name].shape != own[name].shape:
                fitting[name] = own[name]
        given = {name: tensor for name, tensor in fitting.items() if tensor is not None}
        try:
            checkpoint.put(network, given | {name: weights[name] for name in weights.keys() - own.keys()}, path)
        except WeightsError as error:
            raise WeightsError(
                f"--init {error}; give the recipe the run's own `model`, tokens and sizes ({self.run / 'recipe.yaml'})"
            ) from None

    def check(self, run: Path, then: Mapping[str, Any]) -> None:
        """Refuse to go on with a run that began with something else. Raises UsageError."""
        if bool(then.get("freeze")) != self.freeze:
            how = "with" if then.get("freeze") else "without"
            raise UsageError(f"{run}: began {how} --freeze; --resume goes on as it began")
        if self.run and str(self.run.absolute()) != then.get("run"):
            raise UsageError(f"{run}: began with --init {then.get('run')}, now {self.run}; leave it out to go on")

    def document(self) -> dict[str, Any]:
        """As environment.json has it."""
        return {"run": str(self.run.absolute()) if self.run else None, "freeze": self.freeze}
