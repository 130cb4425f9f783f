"""What every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real videos and labels beside the checkout; STAR_SHARED names another place."""
    folder = Path(os.environ.get("STAR_SHARED", SHARED))
    if not folder.is_dir():
        message = f"needs the real samples in {folder.name}/ beside the checkout (or STAR_SHARED=FOLDER)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
