"""Joint heat maps out of the local map: the head that `star finetune` teaches, its loss, and places out of its maps.

The maps are those of `HeatmapsStage`, a Gaussian with peak 1 at each joint: values between 0 and 1 on the cells of the
local map. So a sigmoid ends the head, and its loss is the binary cross-entropy with these values as what is wanted. Its
gradient before the sigmoid is the map less the wanted one, also where the head is sure and wrong; that of a squared
error behind the sigmoid is nearly nothing there, and almost all cells hold 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

WIDTH = 128  # channels between the two convolutions
PRIOR = 0.01  # what every cell holds before training, so that the many empty ones do not fill the first gradients
LEAST = 1e-6  # of a cell, before its logarithm is taken


class PoseHead(nn.Module):
    """Two convolutions in space, 3 × 3 and 1 × 1, frame by frame, with a ReLU between them.

    channels: of the local map. joints: how many maps there are. Its last bias begins where all cells hold 0.01 (Lin
    et al. 2017, "Focal Loss for Dense Object Detection", 4.1).
    """

    def __init__(self, channels: int, joints: int) -> None:
        super().__init__()
        self.channels, self.joints = channels, joints
        self.around = nn.Conv2d(channels, WIDTH, 3, padding=1)
        self.maps = nn.Conv2d(WIDTH, joints, 1)
        nn.init.constant_(self.maps.bias, -math.log((1 - PRIOR) / PRIOR))  # pyright: ignore[reportArgumentType]

    def forward(self, local_map: Tensor) -> Tensor:
        """Local maps (b, t, c, y, x) -> heat maps (b, t, n, y, x) before the sigmoid."""
        found = self.maps(self.around(local_map.flatten(0, 1)).relu())
        return found.unflatten(0, local_map.shape[:2])

    def flops(self, frames: int, side: int) -> int:
        """Of a clip's forward pass, 2 × multiply-adds, for local maps of side × side cells."""
        return 2 * frames * side**2 * (self.around.weight.numel() + self.maps.weight.numel())


def pose_losses(logits: Tensor, wanted: Tensor) -> Tensor:
    """(b,) float32: how far maps are from the wanted ones, 0 where they are the same.

    logits: (b, t, n, y, x), of `PoseHead`. wanted: as many heat maps, 0 .. 1; that of an absent joint is 0, and is
    learned like all others, since tokens of an absent joint are 0 too. The binary cross-entropy less what even the
    wanted maps have, summed over the cells, mean over frames and joints: so it does not depend on the maps' size.
    """
    wanted = wanted.float()
    least = binary_cross_entropy_with_logits(wanted.logit(LEAST), wanted, reduction="none")
    found = binary_cross_entropy_with_logits(logits.float(), wanted, reduction="none")
    return (found - least).sum((-2, -1)).mean((1, 2))


def joint_places(maps: Tensor) -> Tensor:
    """Where the joints of heat maps (..., y, x) are: (..., 2) float32, x and y in cells from the map's corner, so that
    the centre of the first cell is at 0.5.

    The largest cell, and from it to the top of the Gaussian through this cell and its two neighbours on each axis (the
    Taylor expansion of the logarithm of Zhang et al. 2020, "Distribution-Aware Coordinate Representation for Human Pose
    Estimation", without its mixed term: the maps that are learned are round). No more than half a cell; none on an
    edge.
    """
    rows, columns = maps.shape[-2:]
    logs = maps.float().clamp(min=LEAST).log().flatten(-2)
    place = logs.argmax(-1, keepdim=True)
    found: list[Tensor] = []
    for position, length, step in ((place % columns, columns, 1), (place // columns, rows, columns)):
        inside = (position > 0) & (position < length - 1)
        before, top, after = (logs.gather(-1, torch.where(inside, place + shift, place)) for shift in (-step, 0, step))
        bend = before - 2 * top + after
        offset = torch.where(bend < 0, 0.5 * (before - after) / bend, 0.0).clamp(-0.5, 0.5)
        found.append(position + 0.5 + offset)
    return torch.cat(found, -1)
