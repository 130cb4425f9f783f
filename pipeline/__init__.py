"""The order of work: recipe, catalogue, plan, stages, segments, tensors, run."""
