"""Claim: on a CPU, a training step of star's network is at least 1.4 times as fast as the same network written plainly
with nn.MultiheadAttention in float32, and at least 2.5 times as fast in bfloat16.

Plain is what one writes from the equations: one `nn.MultiheadAttention` call per branch, its dropout on attention
weights as the constructor suggests, odd and even frames sliced and put back, every token computed in every layer.
"Plain, lean" is the same without dropout on attention weights and without asking for the weights, which lets
nn.MultiheadAttention use the fused kernel too. Same shapes, same batch, same loss, A B A B, medians.

    python benchmarks/attention.py [--layers 1] [--batch 2] [--repeat 3] [--device cpu]
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from claims import claim
from common import options, turns
from torch import Tensor, nn

from star.stages.transformer import STARTransformer

T, P, N, CLASSES = 16, 49, 13, 15


class PlainLayer(nn.Module):
    """F, then Z or B, then the MLP, post-norm."""

    def __init__(self, kind: str, width: int, heads: int, *, lean: bool) -> None:
        super().__init__()
        self.kind, self.lean = kind, lean
        dropout = 0.0 if lean else 0.1
        self.full = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.part = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(0.1), nn.Linear(4 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(0.1)

    def attend(self, module: nn.Module, q: Tensor, kv: Tensor) -> Tensor:
        """q and kv (b, t, s, d) -> (b, t, s, d)."""
        kv = kv.flatten(1, 2)
        return module(q.flatten(1, 2), kv, kv, need_weights=not self.lean)[0].reshape(q.shape)

    def forward(self, z: Tensor) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d)."""
        z = self.norms[0](z + self.dropout(self.attend(self.full, z, z)))
        if self.kind == "Z":
            odd, even = z[:, 0::2], z[:, 1::2]
            out = torch.empty_like(z)
            out[:, 0::2] = self.attend(self.part, odd, even)
            out[:, 1::2] = self.attend(self.part, even, odd)
        else:
            first, second = z[:, : T // 2], z[:, T // 2 :]
            out = torch.cat([self.attend(self.part, first, second), self.attend(self.part, second, first)], dim=1)
        z = self.norms[1](z + self.dropout(out))
        return self.norms[2](z + self.dropout(self.mlp(z)))


class Plain(nn.Module):
    """The default network, written plainly."""

    def __init__(self, layers: int, width: int, heads: int, *, lean: bool) -> None:
        super().__init__()
        self.grid, self.joint = nn.Linear(512, width), nn.Linear(784, width)
        self.cls = nn.Parameter(torch.randn(3, width) * 0.02)
        self.position = nn.Parameter(torch.randn(T, N, width) * 0.02)
        self.layers = nn.Sequential(*(PlainLayer(k, width, heads, lean=lean) for k in "Z" * layers + "B" * layers))
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, CLASSES))

    def forward(self, global_grid: Tensor, joint_map: Tensor) -> Tensor:
        """global_grid (b, t, c, y, x), joint_map (b, t, n, c) -> (b, classes)."""
        grid = self.grid(global_grid.flatten(3).transpose(2, 3))
        joint = self.joint(joint_map) + self.position
        one, two, three = (c.expand(*grid.shape[:2], 1, -1) for c in self.cls)
        z = self.layers(torch.cat([one, grid, two, joint, three], dim=2))
        return self.head(z[:, :, [0, P + 1, P + N + 2]].mean((1, 2)))


def step(network: nn.Module, batch: dict[str, Tensor], labels: Tensor, *, bfloat16: bool) -> Callable[[], None]:
    """A training step as a function of nothing."""
    optimizer = torch.optim.SGD(network.parameters(), lr=2e-4, momentum=0.9)

    def run() -> None:
        with torch.autocast(labels.device.type, torch.bfloat16, enabled=bfloat16):
            loss = nn.functional.cross_entropy(network(**batch), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if labels.device.type == "cuda":
            torch.cuda.synchronize()

    return run


def main() -> None:
    """Print the table."""
    parser = options(__doc__, layers=1, batch=2, repeat=3, width=512, heads=8)
    parser.add_argument("--device", default="cpu")
    a = parser.parse_args()
    torch.manual_seed(0)
    star = STARTransformer(
        classes=CLASSES, joints=N, width=a.width, heads=a.heads, encoder_layers=a.layers, decoder_layers=a.layers
    ).to(a.device)
    plain, lean = (Plain(a.layers, a.width, a.heads, lean=lean).to(a.device) for lean in (False, True))
    batch = {name: torch.rand(shape.shape, device=a.device) for name, shape in star.example(a.batch).items()}
    labels = torch.randint(CLASSES, (a.batch,), device=a.device)
    steps = {
        "plain, float32": step(plain, batch, labels, bfloat16=False),
        "plain, lean, float32": step(lean, batch, labels, bfloat16=False),
        "star, float32": step(star, batch, labels, bfloat16=False),
        "plain, lean, bfloat16": step(lean, batch, labels, bfloat16=True),
        "star, bfloat16": step(star, batch, labels, bfloat16=True),
    }
    times = turns(steps, a.repeat)
    print(
        f"{a.layers}+{a.layers} layers, width {a.width}, batch {a.batch}, {a.device}, {torch.get_num_threads()} threads"
    )
    for name, taken in times.items():
        print(f"{name:<24}{taken * 1e3:10.0f} ms a step{times['plain, float32'] / taken:8.2f} × plain")
    compare(times)


def compare(times: dict[str, float]) -> None:
    """Seconds a step, by way -> the claims."""
    for mine, other, goal in (
        ("star, float32", "plain, float32", (">=", 1.4)),
        ("star, bfloat16", "plain, float32", (">=", 2.5)),
        ("star, bfloat16", "plain, lean, bfloat16", None),
    ):
        claim(
            f"a training step of the network alone, {mine.split(', ')[1]}",
            1e3 * times[mine],
            "ms",
            against=f"nn.MultiheadAttention ({other})",
            other=1e3 * times[other],
            ratio=times[other] / times[mine],
            goal=goal,
        )


if __name__ == "__main__":
    main()
