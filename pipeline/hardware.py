"""Which device computes where the user leaves the choice to star."""

from __future__ import annotations


def best_device() -> str:
    """torch's name of the device that "auto" stands for: the first GPU, CUDA's before Apple's, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
