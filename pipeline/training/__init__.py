"""Stage two: cached features to a trained network."""
