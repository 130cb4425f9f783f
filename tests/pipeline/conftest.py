"""What the tests of the pipeline share."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def toy() -> ModuleType:
    """The toy cache of toy.py beside this file."""
    spec = importlib.util.spec_from_file_location("toy", Path(__file__).with_name("toy.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def toys(toy, tmp_path_factory):
    """The toy cache's two selections, (training, testing); tests only read it."""
    return toy.build(tmp_path_factory.mktemp("toys"))
