"""Drawn videos of eight actions, with exact joints."""
