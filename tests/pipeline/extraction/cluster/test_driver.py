"""Segments on a real Dask scheduler and real workers, which are killed, stopped, added and starved.

Whatever happens, the run ends, and the next one leaves exactly what an undisturbed run would have left.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from star.errors import MachineError
from star.pipeline.extraction.cluster.driver import cluster
from star.pipeline.planning.plan import plan, select
from star.pipeline.recipe import schema as recipes
from star.pipeline.training.dataset import Features

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
CLIPS = 24
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s"}
WITHIN_S = 900  # generous: a busy machine takes long, and nothing is timed


def wait_for(true: Callable[[], object], what: str) -> None:
    """Until it is so; fails when that takes too long."""
    until = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < until, f"never happened: {what}"
        time.sleep(0.02)


class Machines:
    """A scheduler and workers as a person starts them, with `dask scheduler` and `dask worker`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, list[subprocess.Popen[str]]()
        self.scheduler = self.start_scheduler("127.0.0.1:0")
        wait_for((folder / "scheduler.json").exists, "a scheduler")
        self.address = json.loads((folder / "scheduler.json").read_text())["address"]

    def start_scheduler(self, at: str) -> subprocess.Popen[str]:
        host, port = at.split(":")
        words = ("--host", host, "--port", port, "--dashboard-address", f"{host}:0", "--scheduler-file")
        return self._start("dask", "scheduler", *words, str(self.folder / "scheduler.json"))

    def worker(self, *words: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """One more worker; without a nanny it is one process. prefix: words before the command."""
        return self._start(*prefix, "dask", "worker", self.address, "--nthreads", "1", "--no-dashboard", *words)

    def _start(self, *words: str) -> subprocess.Popen[str]:
        command = [*words[: words.index("dask")], sys.executable, "-m", *words[words.index("dask") :]]
        log = (self.folder / f"{len(self.processes)}.log").open("w")
        process = subprocess.Popen(
            command, env=ENVIRONMENT, cwd=self.folder, start_new_session=True, text=True, stdout=log, stderr=log
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in reversed(self.processes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """A scheduler without workers."""
    folder = tmp_path / "dask"
    folder.mkdir()
    found = Machines(folder)
    yield found
    found.close()


def recipe_for(extracted: Path, folder: Path, cache: Path, segment: int = 2) -> Path:
    """The session's recipe with a cache of its own and small segments, so that there is much to interrupt."""
    path = folder / "star.yaml"
    text = extracted.read_text().replace(str(extracted.parent / "cache"), str(cache))
    path.write_text(text.replace("segment: 6", f"segment: {segment}"))
    return path


def start(recipe: Path, machines: Machines, *words: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A real `star extract` on a cluster."""
    command = [*prefix, sys.executable, "-m", "star.cli", "extract", str(recipe), "--scheduler", machines.address]
    return subprocess.Popen(
        [*command, "--workers", "1", "--device", "cpu", *words],
        env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def segments(cache: Path) -> int:
    """How many segments of the last stage there are."""
    return len(list(cache.glob("tokens/*/*.h5")))


def contents(path: Path) -> dict[tuple[str, str, str, int], bytes]:
    """Every cached value of a recipe: (stage, array, video, view) -> bytes."""
    found = plan(recipes.load(path))
    return {
        (name, array, video, view): stage.stage_store.read([place], array).tobytes()
        for name, stage in found.stages.items()
        for (video, view), place in stage.places.items()
        for array in found.graph[name].stage.arrays
    }


def trained_on(recipe: Path) -> int:
    """How many clips training would read."""
    return len(Features(select(plan(recipes.load(recipe)), "train", ("backbone", "tokens")), ("joint_map",)))


def children(pid: int) -> set[int]:
    """The processes that a process has started, and theirs."""
    found: set[int] = set()
    with suppress(OSError):
        for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
            found |= {int(child) for child in tasks.read_text().split()}
    return found.union(*(children(child) for child in found))


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_scheduler_that_does_not_answer_is_one_line() -> None:
    """A wrong address ends with exit code 5, not with a stack of Dask's."""
    with (
        pytest.raises(MachineError, match=r"^--scheduler tcp://127\.0\.0\.1:9: no Dask scheduler answers there"),
        cluster("tcp://127.0.0.1:9", ("cpu",)),
    ):
        pass


@linux
def test_a_worker_killed_and_one_added_half_way(extracted: Path, tmp_path: Path, machines: Machines) -> None:
    """kill -9 of the only worker: its decoding children end with it, a worker that comes later does the rest.

    The result is that of one process, to the bit; the dashboard's address is said.
    """
    cache = tmp_path / "cache"
    recipe = recipe_for(extracted, tmp_path, cache)
    first = machines.worker("--no-nanny")
    process = start(recipe, machines, "--json")
    wait_for(lambda: segments(cache) > 1, "a segment of the first worker")
    orphans = children(first.pid)
    assert orphans
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: not any(map(alive, orphans)), "the end of the children")
    machines.worker("--no-nanny")
    said, told = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, told
    document = json.loads(said)
    assert document["clips"] == CLIPS
    assert document["cluster"]["scheduler"] == machines.address
    assert document["cluster"]["dashboard"].startswith("http://127.0.0.1:")
    assert f"dashboard {document['cluster']['dashboard']}" in told
    assert " died; others take its " in told
    assert contents(recipe) == contents(extracted)
    assert trained_on(recipe) == 16


@pytest.mark.soak
@linux
def test_a_worker_that_stands_still(extracted: Path, tmp_path: Path, machines: Machines) -> None:
    """SIGSTOP: after the lease its units go to another; when it wakes up and writes too, nothing counts twice."""
    cache = tmp_path / "cache"
    recipe = recipe_for(extracted, tmp_path, cache)
    first = machines.worker("--no-nanny")
    process = start(recipe, machines, "--lease", "30", "--set", "decode.timeout=10")
    wait_for(lambda: segments(cache) > 1, "a segment of the first worker")
    os.kill(first.pid, signal.SIGSTOP)
    machines.worker("--no-nanny")
    assert process.stderr is not None
    assert any(" gave no sign of life for 40 s; others take its " in line for line in process.stderr)
    os.kill(first.pid, signal.SIGCONT)
    _, told = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, told
    assert contents(recipe) == contents(extracted)
    assert trained_on(recipe) == 16


@pytest.mark.soak
def test_a_scheduler_that_goes_away(extracted: Path, tmp_path: Path, machines: Machines) -> None:
    """One line and exit code 5; with a new scheduler the same command goes on, and nothing is computed twice."""
    cache = tmp_path / "cache"
    recipe = recipe_for(extracted, tmp_path, cache)
    machines.worker("--no-nanny")
    process = start(recipe, machines, "-q")
    wait_for(lambda: segments(cache) > 1, "a segment")
    os.kill(machines.scheduler.pid, signal.SIGKILL)
    _, told = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 5, told
    assert told == (
        f"star: --scheduler {machines.address}: the Dask scheduler went away; what was written stays, and the same "
        "command goes on once there is one again\n"
    )
    machines.scheduler.wait()
    machines.start_scheduler(machines.address.removeprefix("tcp://"))
    machines.worker("--no-nanny")
    again = start(recipe, machines, "-q")
    _, told = again.communicate(timeout=WITHIN_S)
    assert (again.returncode, told) == (0, "")
    assert contents(recipe) == contents(extracted)


@pytest.mark.soak
def test_a_scheduler_that_is_restarted(extracted: Path, tmp_path: Path, machines: Machines) -> None:
    """Back within seconds, under its old address: the run goes on with the workers that come to it."""
    cache = tmp_path / "cache"
    recipe = recipe_for(extracted, tmp_path, cache)
    machines.worker("--no-nanny")
    process = start(recipe, machines)
    wait_for(lambda: segments(cache) > 1, "a segment")
    os.kill(machines.scheduler.pid, signal.SIGKILL)
    machines.scheduler.wait()
    machines.start_scheduler(machines.address.removeprefix("tcp://"))
    machines.worker("--no-nanny")
    _, told = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, told
    assert contents(recipe) == contents(extracted)


@pytest.mark.soak
def test_a_shared_disk_that_fills_up(
    extracted: Path, tmp_path: Path, machines: Machines, disk: Callable[[int], Path]
) -> None:
    """One line and exit code 5; what was whole stays, and with more room the same command goes on."""
    cache = disk(4) / "cache"
    recipe = recipe_for(extracted, tmp_path, cache)
    words = ("-q", "--set", "cache.compression=lzf")  # only then nobody can know beforehand how much it will be
    machines.worker("--no-nanny")
    machines.worker("--no-nanny")
    process = start(recipe, machines, *words)
    _, told = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 5, told
    assert told.count("\n") == 1
    assert told.endswith("the disk is full; free some space or set cache.root to another disk\n")
    subprocess.run(["mount", "-o", "remount,size=64m", str(cache.parent)], check=True)
    again = start(recipe, machines, *words)
    assert (again.communicate(timeout=WITHIN_S)[1], again.returncode) == ("", 0)
    assert contents(recipe) == contents(extracted)


def reader_of(path: Path, workers: set[int]) -> int | None:
    """The worker among some of which a child has a file open."""
    for worker in workers:
        for child in children(worker):
            with suppress(OSError):
                if any(fd.resolve() == path for fd in Path(f"/proc/{child}/fd").iterdir()):
                    return worker
    return None


@pytest.mark.soak
@linux
def test_a_video_that_kills_every_worker(extracted: Path, drawn: Path, tmp_path: Path, machines: Machines) -> None:
    """As when memory runs out: whichever worker reads one video dies. It alone ends in the ledger, with exit code 3."""
    root, cache = tmp_path / "data", tmp_path / "cache"
    shutil.copytree(drawn, root)
    victim = min((root / "videos").iterdir())
    long_video(victim)
    recipe = recipe_for(extracted, tmp_path, cache, segment=6)
    nanny = machines.worker("--nworkers", "2")
    process = start(recipe, machines, "--json", "--set", f"dataset.root={root}")
    while process.poll() is None:
        guilty = reader_of(victim, children(nanny.pid))
        if guilty is not None:
            with suppress(ProcessLookupError):
                os.kill(guilty, signal.SIGKILL)
        time.sleep(0.001)
    said, told = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 3, told
    document = json.loads(said)
    assert document["computed"] == dict.fromkeys(("decode", "pose", "backbone", "heatmaps", "tokens"), CLIPS - 1)
    (row,) = [json.loads(line) for line in (cache / "failures.jsonl").read_text().splitlines()]
    name = f"videos/{victim.name}"
    message = f"{name}: 3 workers that had it in hand died, perhaps for want of memory"
    assert (row["video"], row["stage"], row["kind"], row["message"]) == (name, "decode", "crashed", message)
    again = start(recipe, machines, "-q", "--set", f"dataset.root={root}")
    again.communicate(timeout=WITHIN_S)
    assert again.returncode == 3, "the ledger is believed"


def long_video(path: Path) -> None:
    """2,000 frames of MPEG-4: long enough to be caught being read."""
    import av
    import numpy as np

    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 320, 240
        for number in range(2000):
            frame = av.VideoFrame.from_ndarray(np.full((240, 320, 3), number % 256, np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


@contextmanager
def network(count: int) -> Iterator[tuple[str, list[str]]]:
    """A bridge to so many network namespaces: the address on this side, and the names of the others.

    Skips where they cannot be made.
    """
    if os.geteuid() or not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("network namespaces need root, ip and unshare")

    def ip(*words: str, check: bool = True) -> int:
        return subprocess.run(["ip", *words], check=check, capture_output=True).returncode

    bridge = f"star{os.getpid() % 10**8}"
    names = [f"{bridge}-{number}" for number in range(count)]
    if ip("link", "add", bridge, "type", "bridge", check=False):
        pytest.skip("this kernel or container lets nobody make a bridge")
    try:
        ip("addr", "add", "10.213.77.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for number, name in enumerate(names):
            ip("netns", "add", name)
            ip("link", "add", f"sv{number}-{os.getpid()}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"sv{number}-{os.getpid()}", "master", bridge, "up")
            ip("-n", name, "addr", "add", f"10.213.77.{number + 2}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", name, "link", "set", device, "up")
        yield "10.213.77.1", names
    finally:
        for name in names:
            ip("netns", "del", name, check=False)
        ip("link", "del", bridge, check=False)


@linux
def test_an_empty_mount_point_is_the_workers_fault(extracted: Path, tmp_path: Path, machines: Machines) -> None:
    """The data folder is there, with nothing mounted on it: the worker is left out, alone it ends the run."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("mount namespaces need root and unshare")
    recipe = recipe_for(extracted, tmp_path, tmp_path / "cache", segment=6)
    root = recipes.load(recipe).dataset.root
    empty = f'mount -t tmpfs none {root} && exec "$@"'
    trial = ["unshare", "-m", "sh", "-c", empty, "sh", "true"]
    if subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("this container lets nobody mount")
    machines.worker("--no-nanny", prefix=tuple(trial[:-1]))
    process = start(recipe, machines, "-q")
    _, told = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 5, told
    said = (
        rf"star: worker \S+: dataset\.root: {root} is there, but not what is in it on the driver, like {root}/videos/"
    )
    assert re.fullmatch(said + r"\S+; mount it under the same path\n", told), told
    assert not (tmp_path / "cache" / "failures.jsonl").exists()
    machines.worker("--no-nanny")
    process = start(recipe, machines)
    _, told = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0, told
    assert contents(recipe) == contents(extracted)
    assert not (tmp_path / "cache" / "failures.jsonl").exists()


@pytest.mark.soak
@linux
def test_machines_with_addresses_of_their_own(extracted: Path, tmp_path: Path, machines: Machines) -> None:
    """A scheduler and two workers in network namespaces; one of them lacks the data and is left out, not the videos."""
    cache = tmp_path / "cache"
    recipe = recipe_for(extracted, tmp_path, cache)
    root = recipes.load(recipe).dataset.root
    with network(2) as (here, names):
        machines.start_scheduler(f"{here}:8786")
        machines.address = f"tcp://{here}:8786"
        away = f'mount -t tmpfs none {root.parent} && exec "$@"'
        machines.worker("--no-nanny", prefix=("ip", "netns", "exec", names[0], "unshare", "-m", "sh", "-c", away, "sh"))
        process = start(recipe, machines)
        machines.worker("--no-nanny", prefix=("ip", "netns", "exec", names[1]))
        _, told = process.communicate(timeout=WITHIN_S)
        machines.close()
    assert process.returncode == 0, told
    left_out = r"warning: worker tcp://10\.213\.77\.2:\d+ is left out: dataset\.root: \S+ is not there; mount it"
    assert re.search(left_out, told)
    assert contents(recipe) == contents(extracted)
    assert not (cache / "failures.jsonl").exists()
