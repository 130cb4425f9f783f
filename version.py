"""The version of this star: a module that imports nothing, for everybody who writes it down."""

__version__ = "0.1.0"
