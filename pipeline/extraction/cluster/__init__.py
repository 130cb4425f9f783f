"""Extraction on many machines, with Dask."""
