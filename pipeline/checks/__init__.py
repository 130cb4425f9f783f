"""Checks of the videos before extraction and of the cache after it."""
