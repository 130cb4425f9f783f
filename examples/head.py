"""Train a head of one's own on cached features: no video is opened, no network of star's is used.

python head.py demo/star.yaml      after `make demo` or `star demo demo`
"""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader

import star

EPOCHS = 30


class Head(nn.Module):
    """A recurrent network over the frames: joint maps and grids, averaged over cells, to class scores."""

    def __init__(self, joints: int, channels: int, grid: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(joints * channels + grid)
        self.gru = nn.GRU(joints * channels + grid, 64, batch_first=True, bidirectional=True)
        self.scores = nn.Linear(128, classes)

    def forward(self, joint_map: torch.Tensor, global_grid: torch.Tensor) -> torch.Tensor:
        """joint_map (b, t, n, c), global_grid (b, t, c, y, x) -> scores (b, classes)."""
        seen = torch.cat([joint_map.flatten(2), global_grid.mean((3, 4))], -1).float()
        found, _ = self.gru(self.norm(seen))
        return self.scores(found.mean(1))


def main(recipe: str) -> None:
    """Train on the training split, judge on the test split."""
    arrays = ["joint_map", "global_grid"]
    train, test = (star.FeatureDataset(recipe, split, arrays=arrays) for split in ("train", "test"))
    one = train[0]
    torch.manual_seed(0)
    head = Head(*one["joint_map"].shape[1:], one["global_grid"].shape[1], len(train.classes))
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3)
    for _ in range(EPOCHS):
        for batch in DataLoader(train, batch_size=16, shuffle=True, num_workers=2):
            loss = nn.functional.cross_entropy(head(batch["joint_map"], batch["global_grid"]), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        right = sum(
            int((head(batch["joint_map"], batch["global_grid"]).argmax(1) == batch["label"]).sum())
            for batch in DataLoader(test, batch_size=16)
        )
    print(f"{right} of {len(test)} test clips, where guessing gives {len(test) / len(test.classes):.0f}")


if __name__ == "__main__":
    main(sys.argv[1])
