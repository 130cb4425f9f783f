"""Learning without labels: tokens of a clip are hidden from a STAR-Transformer, which is to say what they were.

After BERT and the masked autoencoder (He et al., CVPR 2022): a hidden token is replaced by a learned one that says only
where it is, and a linear layer reads from what becomes of it what the cached token held.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, mse_loss

from ...errors import UsageError
from .linear import learned_token, linear
from .model import STARTransformer


def masks(
    shapes: Mapping[str, tuple[int, int]], share: float, span: int, random: np.random.Generator, clips: int
) -> dict[str, np.ndarray]:
    """By modality (clips, t, places) bool: which tokens are hidden.

    shapes: by modality (t, places). A place is hidden for `span` frames in a row or not at all, so that its neighbours
    in time do not give it away; of each clip and span `share` of the places, at least one.
    """
    found = {}
    for name, (frames, places) in shapes.items():
        spans = -(-frames // span)
        order = random.random((clips, spans, places)).argsort(-1).argsort(-1)
        hidden = order < max(1, round(share * places))
        found[name] = hidden.repeat(span, axis=1)[:, :frames]
    return found


class MaskedTransformer(nn.Module):
    """A STAR-Transformer with what is needed to learn from hidden tokens, which is thrown away afterwards.

    Raises UsageError for `concat_conv`, whose tokens are learned themselves.
    """

    def __init__(self, transformer: STARTransformer) -> None:
        super().__init__()
        if transformer.concat_conv:
            raise UsageError("tokens.form: concat_conv: its tokens are learned, so they cannot be what is to be found")
        self.transformer = transformer
        width, tokens = transformer.width, transformer.tokens
        self.hidden, self.found = nn.ParameterDict(), nn.ModuleDict()
        if tokens.grid:
            self.hidden["grid"] = learned_token(tokens.grid.frames, tokens.grid.cells, width)
            self.found["grid"] = linear(width, tokens.grid.channels)
        if tokens.joints:
            self.hidden["joint"] = learned_token(tokens.joints.frames, tokens.joints.joints, width)
            self.found["joint"] = linear(width, tokens.joints.channels)
        transformer.head.requires_grad_(False)  # nothing is classified

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Frames and places of each modality's tokens, "grid" and "joint"."""
        return {name: (token.shape[0], token.shape[1]) for name, token in self.hidden.items()}

    def forward(self, masks: Mapping[str, Tensor], **arrays: Tensor) -> Tensor:
        """Each clip's loss (b,): the squared error of what was hidden, mean over modalities.

        masks: by modality (b, t, places) bool, true where a token is hidden. arrays: those of STARTransformer. What is
        to be found is each token brought to mean 0 and deviation 1; absent joints (all zero) count for nothing.
        """
        transformer, layout = self.transformer, self.transformer.tokens.layout()
        z = transformer.embed(**arrays)
        places = {name: [place for place, kind in enumerate(layout) if kind == name] for name in self.hidden}
        for name, where in places.items():
            part = z[:, :, where]
            hidden = torch.where(masks[name][..., None], self.hidden[name].to(part.dtype), part)
            z = z.index_copy(2, torch.tensor(where, device=z.device), hidden)
        for layer in (*transformer.encoder, *transformer.decoder):
            z = transformer.carry(layer(z))
        z = transformer.norm(z)
        wanted = self._wanted(arrays)
        losses = [
            self._loss(self.found[name](z[:, :, where]), wanted[name], masks[name]) for name, where in places.items()
        ]
        return torch.stack(losses).mean(0)

    def _wanted(self, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the tokens held, as the transformer takes it, float32: (b, t, places, c)."""
        tokens, found = self.transformer.tokens, {}
        if tokens.grid:
            cells = arrays["global_grid"].float().flatten(3).transpose(2, 3)
            found["grid"] = tokens.grid.standardize(cells) if tokens.grid.standardize else cells
        if tokens.joints:
            array = arrays["joint_heatmap"].flatten(3) if self.transformer.heatmaps else arrays["joint_map"]
            found["joint"] = tokens.joints.rescale(array.float())
        return found

    def _loss(self, found: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
        counted = mask & (wanted != 0).any(-1)
        exact = layer_norm(wanted.float(), wanted.shape[-1:])
        errors = mse_loss(found.float(), exact, reduction="none").mean(-1) * counted
        return errors.sum((1, 2)) / counted.sum((1, 2)).clamp(min=1)
