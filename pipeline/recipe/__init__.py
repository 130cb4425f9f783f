"""Recipes: the settings of a run, and ready ones."""
