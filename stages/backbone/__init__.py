"""The frozen video backbone, MC3-18: its stage and its networks."""
