"""Test, prediction, ablation studies and reports of trained networks."""
