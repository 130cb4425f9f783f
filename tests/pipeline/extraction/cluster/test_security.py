"""Who can talk to a scheduler of star's: nobody without its certificate."""

from __future__ import annotations

import subprocess
import sys

import pytest

from star.errors import MachineError, MissingPackage
from star.pipeline.extraction.cluster.driver import _private, cluster, is_open

STRANGER = """
import sys
from distributed import Client
from distributed.security import Security

for address in (sys.argv[1], sys.argv[1].replace("tls", "tcp")):
    for security in (None, Security.temporary()):
        try:
            client = Client(address, timeout=5, security=security)
            print("inside", client.submit(int, 7).result(5))
        except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
            print("outside")
"""


def test_nobody_else_runs_code_on_a_cluster_of_devices() -> None:
    """Another process that knows the address gets in neither without a certificate nor with one of its own."""
    with cluster(None, ("cpu",)) as client:
        assert client.scheduler.address.startswith("tls://127.0.0.1:")
        assert client.submit(sum, [3, 4]).result(120) == 7
        words = [sys.executable, "-c", STRANGER, client.scheduler.address]
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300).stdout
        worker = next(iter(client.scheduler_info()["workers"]))
        assert worker.startswith("tls://")
    assert said.split() == ["outside"] * 4


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("tcp://127.0.0.1:8786", False), ("tcp://localhost:8786", False), ("tcp://[::1]:8786", False),
        ("127.0.0.1:8786", False), ("tls://head:8786", False), ("tcp://head:8786", True), ("head:8786", True),
        ("tcp://10.0.0.1:8786", True), ("tcp://[fe80::1]:8786", True), ("ws://head:8786", True),
        ("wss://head:8786", False),
    ],
)  # fmt: skip
def test_open_schedulers(address: str, expected: bool) -> None:
    """An address beyond this machine without encryption is one that gets a warning."""
    assert is_open(address) is expected


def test_a_scheduler_with_certificates_that_we_lack() -> None:
    """tls:// without a certificate in Dask's settings is one line, exit code 5."""
    with (
        pytest.raises(MachineError, match=r"^--scheduler tls://127\.0\.0\.1:9: no Dask scheduler answers there"),
        cluster("tls://127.0.0.1:9", ("cpu",)),
    ):
        pass


def test_without_the_package_no_door_is_opened() -> None:
    """No certificate can be made: no cluster, and the way out is named."""

    class Security:
        @staticmethod
        def temporary() -> None:
            raise ImportError("cryptography")

    with pytest.raises(MissingPackage, match=r"pip install cryptography"):
        _private(Security)
