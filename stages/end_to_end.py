"""From frames to classes in one network: a backbone and the STAR-Transformer on top of it, trained together.

What stands between them is what is cached otherwise, the global grid, the local map and the joint tokens, here in
float32 and with gradients. With a pose head the joints' heat maps are the network's own too, so that nothing but frames
goes in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage] (all its kinds, and no more)
from torch.utils.checkpoint import checkpoint

from ..errors import RecipeError
from .backbone.features import extractor, pixel_statistics
from .pose_head import PoseHead
from .transformer import STARTransformer

Arrays = Mapping[str, Tensor]
MAPS = ("global_grid", "local_map")  # of the backbone's layers, in their order


class EndToEnd(nn.Module):
    """A backbone whose layers feed a STAR-Transformer.

    model, layers: of the backbone, the latter for the global grid and the local map. network: the backbone itself, see
    `backbone.weights.load`. form: of the joint tokens. pose_head: makes the joints' heat maps out of the local map,
    where none are given.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self,
        model: str,
        layers: Sequence[str],
        form: str,
        network: nn.Module,
        transformer: STARTransformer,
        pose_head: PoseHead | None = None,
    ) -> None:
        super().__init__()
        self.form = form
        needs = set(transformer.inputs) | ({"local_map"} if pose_head or "joint_map" in transformer.inputs else set())
        self.layers = {name: layer for name, layer in zip(MAPS, layers, strict=True) if name in needs}
        # no more of it than is needed: what has no gradient would stop several processes, and costs time in one
        self.backbone = extractor(model, network, tuple(self.layers.values()))
        self.transformer = transformer
        self.pose_head = pose_head
        self.batch_norm, self.checkpointing, self.frozen = "eval", False, ()
        self._whole = [network]  # not a part of its own: the extractor holds the same modules
        mean, deviation = pixel_statistics(model)
        self.register_buffer("scale", 1 / (255 * deviation), persistent=False)
        self.register_buffer("shift", -mean / deviation, persistent=False)
        network.requires_grad_(True)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the cached arrays that `forward` needs."""
        given = self.transformer.tokens.joints and self.pose_head is None
        return ("frames", "joint_heatmap") if given else ("frames",)

    @property
    def width(self) -> int:
        """Numbers that the head judges."""
        return self.transformer.width

    def freeze(self, layers: Sequence[str]) -> None:
        """Leave layers of the backbone as they are, by its modules' names. Raises RecipeError for an unknown one."""
        (network,) = self._whole
        for layer in layers:
            held = [weight for name, weight in network.named_parameters() if name.startswith(f"{layer}.")]
            if not held:
                known = ", ".join(name for name, child in network.named_children() if [*child.parameters()])
                raise RecipeError(f"finetune.freeze: {layer}: the backbone has no such layer; it has {known}")
            for weight in held:
                weight.requires_grad_(False)
        self.frozen = tuple(layers)

    def train(self, mode: bool = True) -> EndToEnd:
        """As for every module; batch norms that are not trained, and frozen layers, stay as they are judged."""
        super().train(mode)
        (network,) = self._whole
        for name, module in network.named_modules():
            still = isinstance(module, _BatchNorm) and self.batch_norm == "eval"
            if still or any(f"{name}.".startswith(f"{layer}.") for layer in self.frozen):
                module.training = False
        return self

    def backbone_state(self) -> dict[str, Tensor]:
        """The backbone's weights under its own names, as `backbone.weights` takes them."""
        return self._whole[0].state_dict()

    def arrays(self, frames: Tensor, joint_heatmap: Tensor | None = None) -> dict[str, Tensor]:
        """What the transformer takes: frames (b, t, y, x, 3) of 0 to 255, joint_heatmap (b, t, n, y, x) -> by name.

        Without `joint_heatmap` the maps are those of the pose head, where there is one.
        """
        return self._seen(frames, joint_heatmap)[0]

    def _seen(self, frames: Tensor, joint_heatmap: Tensor | None) -> tuple[dict[str, Tensor], Tensor | None]:
        """`arrays`, and what the pose head gives, (b, t, n, y, x) before its sigmoid."""
        maps = self._look((frames.float() * self.scale + self.shift).permute(0, 4, 1, 2, 3))
        made: dict[str, Tensor] = {name: maps[layer].transpose(1, 2) for name, layer in self.layers.items()}
        logits = None if self.pose_head is None else self.pose_head(made["local_map"])
        if joint_heatmap is None and logits is not None:
            joint_heatmap = logits.float().sigmoid()
        if joint_heatmap is not None:
            made["joint_heatmap"] = joint_heatmap
            if "joint_map" in self.transformer.inputs:
                made["joint_map"] = joint_tokens(self.form, made["local_map"], joint_heatmap)
        return {name: made[name] for name in self.transformer.inputs if name in made}, logits

    def _look(self, clips: Tensor) -> Arrays:
        """The backbone's maps; under `checkpointing` clip by clip, each computed again on the way back."""
        if not (self.checkpointing and self.training and torch.is_grad_enabled()):
            return self.backbone(clips)
        parts: list[Any] = [checkpoint(self.backbone, clip, use_reentrant=False) for clip in clips.split(1)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def forward(
        self,
        frames: Tensor,
        joint_heatmap: Tensor | None = None,
        change: Callable[[Arrays], Arrays] | None = None,
        watch: Callable[[Tensor], None] | None = None,
    ) -> Tensor:
        """Class scores (b, classes). change: what training does to the transformer's arrays, see `train_step`. watch:
        is given what the pose head makes of the frames, (b, t, n, y, x) before its sigmoid."""
        arrays, logits = self._seen(frames, joint_heatmap)
        if watch is not None and logits is not None:
            watch(logits)
        return self.transformer(**(change(arrays) if change else arrays))

    def embed(self, frames: Tensor, joint_heatmap: Tensor | None = None) -> Tensor:
        """The tokens z (b, t, s, d), see STARTransformer."""
        return self.transformer.embed(**self.arrays(frames, joint_heatmap))

    def pool(self, z: Tensor) -> Tensor:
        """Tokens -> what the head judges (b, d)."""
        return self.transformer.pool(z)

    @torch.no_grad()
    def frame_attention(self, frames: Tensor, joint_heatmap: Tensor | None = None) -> dict[str, Tensor]:
        """See STARTransformer."""
        return self.transformer.frame_attention(**self.arrays(frames, joint_heatmap))


def joint_tokens(form: str, local_map: Tensor, joint_heatmap: Tensor) -> Tensor:
    """Joint tokens (b, t, n, c) float32 of local maps (b, t, c, y, x) and heat maps (b, t, n, y, x), as `TokensStage`
    makes them: pool, pool_map or map."""
    with torch.autocast(local_map.device.type, enabled=False):
        local, heat = (maps.float().flatten(3) for maps in (local_map, joint_heatmap))
        if form == "map":
            return heat * local.mean(2, keepdim=True)
        total = heat.sum(-1, keepdim=True)
        pooled = (heat / torch.where(total > 0, total, 1)) @ local.transpose(2, 3)
        return torch.cat([pooled, heat], -1) if form == "pool_map" else pooled
