"""Weights are read without running anything, and a wrong file is one clear line."""

from __future__ import annotations

import builtins
import hashlib
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from star.errors import DownloadError, WeightsError
from star.stages import weights


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def same(a, b) -> bool:
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


class Attack:
    """A pickle of this runs `function(argument)` when it is loaded."""

    def __init__(self, function, argument: str) -> None:
        self.call = function, (argument,)

    def __reduce__(self):
        return self.call


def test_safetensors_and_torch_files_give_the_same_tensors(tmp_path: Path):
    """Both kinds of file hold the same state dict after a round trip."""
    state = network().state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    loaded = weights.load_state_dict(tmp_path / "a.safetensors")
    assert {name: value.tolist() for name, value in loaded.items()} == {n: v.tolist() for n, v in state.items()}
    assert same(weights.load_state_dict(tmp_path / "a.pth"), state)
    assert same(weights.load_state_dict(tmp_path / "old.pth"), state)


def mmpose_checkpoint(path: Path, state) -> None:
    """What mmengine's Runner saves of an mmpose network, numpy objects and log buffers included."""
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer

    meta = {
        "dataset_meta": {"keypoint_colors": np.zeros((17, 3), np.uint8), "sigmas": np.ones(17, np.float32)},
        "names": np.array(["nose", "left_eye"]),
        "best": np.float64(0.75),
        "dtype": np.dtype("float32"),
        "cfg": ConfigDict(model={"type": "TopdownPoseEstimator"}),
        "epoch": 420,
    }
    hub = {"log_scalars": OrderedDict({"train/loss": HistoryBuffer([1.0, 0.5], [1, 1])})}
    torch.save({"meta": meta, "state_dict": state, "message_hub": hub, "optimizer": {"state": {}}}, path)


def test_mmpose_checkpoint_loads(tmp_path: Path):
    """state_dict beside meta with numpy arrays, scalars, dtypes, settings and log buffers: the tensors come out."""
    state = network().state_dict()
    mmpose_checkpoint(tmp_path / "a.pth", state)
    loaded = weights.load_state_dict(tmp_path / "a.pth")
    assert same(loaded, state)
    assert loaded._metadata == state._metadata


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_checkpoints_of_both_numpys_load(tmp_path: Path, module: bytes):
    """numpy 1 and numpy 2 pickle their arrays under different module names; both are known."""
    state = network().state_dict()
    mmpose_checkpoint(tmp_path / "a.pth", state)
    with zipfile.ZipFile(tmp_path / "a.pth") as old, zipfile.ZipFile(tmp_path / "b.pth", "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("data.pkl"):
                plain = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
                data = plain.replace(b"numpy.core.multiarray", module)
                assert module in data
            new.writestr(name, data)
    assert same(weights.load_state_dict(tmp_path / "b.pth"), state)


@pytest.mark.parametrize(
    ("function", "named"), [(os.system, f"{os.name}.system"), (builtins.exec, "exec"), (Path, "pathlib")]
)
@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_pickle_is_refused_without_running(tmp_path: Path, function, named: str, zipped: bool):
    """A checkpoint that would run code is one line of refusal, and the code did not run."""
    sentinel = tmp_path / "ran"
    argument = f"touch {sentinel}" if function is os.system else f"open({str(sentinel)!r}, 'w')"
    content = {"state_dict": network().state_dict(), "meta": {"time": Attack(function, argument)}}
    file = tmp_path / "hostile.pth"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError) as caught:
        weights.load_state_dict(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: refused: loading it would run {named}")
    assert message.endswith(
        ", which is no part of a checkpoint; get its weights as .safetensors from someone you trust"
    )
    assert not sentinel.exists()
    if function is not Path:
        torch.load(file, weights_only=False)  # the attack is a real one
        assert sentinel.exists()


def test_bare_pickle_is_refused_without_running(tmp_path: Path):
    """A pickle of another protocol, without torch's frame around it, does not run either."""
    sentinel = tmp_path / "ran"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "a.pth").write_bytes(pickle.dumps(Attack(os.system, f"touch {sentinel}"), protocol))
        with pytest.raises(WeightsError):
            weights.load_state_dict(tmp_path / "a.pth")
    assert not sentinel.exists()


def test_allow_list_ends_with_the_loading(tmp_path: Path):
    """What was allowed for one file is not left allowed for the rest of the process."""
    before = set(torch.serialization.get_safe_globals())
    mmpose_checkpoint(tmp_path / "a.pth", network().state_dict())
    weights.load_state_dict(tmp_path / "a.pth")
    assert set(torch.serialization.get_safe_globals()) == before


def test_broken_files_are_one_line(tmp_path: Path):
    """A checkpoint cut anywhere, an empty file, text, a folder and nothing at all."""
    whole, file = tmp_path / "whole.pth", tmp_path / "cut.pth"
    torch.save(network().state_dict(), whole)
    data = whole.read_bytes()
    for content in [b"", b"hello", *(data[: len(data) * part // 10] for part in range(1, 10))]:
        for name in (file, file.with_suffix(".safetensors")):
            name.write_bytes(content)
            with pytest.raises(WeightsError) as caught:
                weights.load_state_dict(name)
            assert str(caught.value) == f"{name}: cut short, or not a checkpoint; fetch or export it again"
    for absent in (tmp_path, tmp_path / "none.pth"):
        with pytest.raises(WeightsError) as caught:
            weights.load_state_dict(absent)
        assert str(caught.value) == f"{absent}: no such weights file; correct the path in the recipe"


def test_files_without_weights_say_what_they_hold(tmp_path: Path):
    """Lists, numbers and empty dicts load well and hold no weights."""
    file = tmp_path / "a.pth"
    for content, said in [
        ([1, 2], "holds no weights, but a list"),
        ({}, "holds no weights, but nothing"),
        ({"epoch": 3}, "holds no weights: 'epoch' is of type int"),
        ({"state_dict": {"names": np.zeros(3)}}, "holds no weights: 'names' is of type _reconstruct"),
    ]:
        torch.save(content, file)
        with pytest.raises(WeightsError) as caught:
            weights.load_state_dict(file)
        assert str(caught.value) == f"{file}: {said}; give a checkpoint with a state_dict"


def test_wrappings_are_taken_off(tmp_path: Path):
    """ "state_dict", "model" and the "module." of a data-parallel run."""
    state = network().state_dict()
    for content in (
        {"model": state, "epoch": 3},
        {"state_dict": state},
        {f"module.{name}": value for name, value in state.items()},
    ):
        torch.save(content, tmp_path / "a.pth")
        assert same(weights.load_state_dict(tmp_path / "a.pth"), state)


def test_load_into_copies_and_tolerates_what_is_harmless():
    """Counters of batch norm and a pre-processor's mean may be absent or left over; all weights arrive."""
    state = {name: value + 1 for name, value in network().state_dict().items() if "tracked" not in name}
    model = network()
    weights.load_into(model, {**state, "data_preprocessor.mean": torch.zeros(3, 1, 1)}, "a.pth", "toy")
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())


def test_load_into_names_the_first_mismatch():
    """Weights of another network: which tensor, what it is there, what was expected."""
    state = network().state_dict()
    said = "a.pth: belongs to another network than toy: {}; give the weights of toy"
    for change, why in [
        ({"0.weight": torch.zeros(4, 3, 1, 1)}, "0.weight is 4x3x1x1 in the file and 4x3x3x3 in the network"),
        ({"0.weight": None}, "0.weight is missing from the file"),
        ({"2.weight": torch.zeros(1)}, "the file holds 2.weight, which that network has not"),
    ]:
        changed = {name: value for name, value in {**state, **change}.items() if value is not None}
        with pytest.raises(WeightsError) as caught:
            weights.load_into(network(), changed, "a.pth", "toy")
        assert str(caught.value) == said.format(why)


def test_sha256_is_that_of_the_bytes(tmp_path: Path):
    """The identity of a weights file in the cache's keys; an absent file is one line."""
    data = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(data)
    assert weights.sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()
    with pytest.raises(WeightsError) as caught:
        weights.sha256(tmp_path / "b")
    assert str(caught.value) == (f"{tmp_path / 'b'}: No such file or directory; give a weights file that can be read")


def test_fetch_downloads_once(server):
    """The file lands in torch hub's folder; the second time nobody is asked."""
    url, files = server
    digest = hashlib.sha256(b"weights").hexdigest()
    name = f"net-{digest[:8]}.pth"
    files[f"/{name}"] = b"weights"
    target = weights.fetch(f"{url}/{name}", "toy")
    assert target == Path(os.environ["TORCH_HOME"]) / "hub" / "checkpoints" / name
    assert target.read_bytes() == b"weights"
    files.clear()
    assert weights.fetch(f"{url}/{name}", "toy") == target


def test_failed_download_says_which_file_to_put_where(server):
    """Nobody there, an unknown file, too few bytes, other bytes: one line each, and nothing is left behind."""
    url, files = server
    files["/net-short.pth"] = b"weights"
    files["/net-00000000.pth"] = b"weights"
    digest = hashlib.sha256(b"weights").hexdigest()[:8]
    for address, reason in [
        ("http://127.0.0.1:9/net.pth", "Connection refused"),
        (f"{url}/none.pth", "Not Found"),
        (f"{url}/net-short.pth", "only 7 of 17 bytes came"),
        (f"{url}/net-00000000.pth", f"its sha256 begins with {digest}, not with 00000000"),
    ]:
        with pytest.raises(DownloadError) as caught:
            weights.fetch(address, "toy")
        target = weights.cached_path(address)
        assert str(caught.value) == (
            f"the weights of toy could not be fetched ({reason}): download {address} elsewhere and put it at {target}"
        )
        assert list(target.parent.iterdir()) == []
