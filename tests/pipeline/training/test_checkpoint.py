"""Checkpoints: whole, exact, and unable to run code."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from star.errors import StorageError, UsageError, WeightsError
from star.pipeline.recipe import schema as recipes
from star.pipeline.training import checkpoint
from star.pipeline.training.optimizer import make_optimizer


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4), torch.nn.Linear(4, 2))


def step(network, optimizer, seed):
    torch.manual_seed(seed)
    network(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def test_tensors_and_note_come_back(tmp_path):
    """Tensors of every type bit for bit, and the note as JSON; an older file is replaced and nothing is left over."""
    path = tmp_path / "last" / "state.safetensors"
    tensors = {"a/b": torch.randn(3, 4).T, "half": torch.ones(2).half(), "count": torch.tensor(7), "no": torch.ones(0)}
    checkpoint.write(path, {"old": torch.ones(1)}, {})
    checkpoint.write(path, tensors, {"epoch": 3, "name": "é"})
    found, note = checkpoint.read(path)
    assert note == {"epoch": 3, "name": "é"}
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) and found[name].dtype == tensors[name].dtype for name in found)
    assert [file.name for file in path.parent.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_optimizer_goes_on_exactly(tmp_path, kind):
    """Three steps, saved and restored, and three more equal six, bit for bit."""
    settings = recipes.TrainSettings(optimizer=kind, learning_rate=0.01, weight_decay=0.1)
    straight = model()
    optimizer = make_optimizer(straight, settings)
    for seed in range(6):
        step(straight, optimizer, seed)
        if seed == 2:
            kept = checkpoint.prefixed("weights", straight.state_dict())
            kept |= checkpoint.prefixed("optimizer", checkpoint.optimizer_tensors(optimizer))
            checkpoint.write(tmp_path / "x.safetensors", kept, {})
    resumed = model()
    found, _ = checkpoint.read(tmp_path / "x.safetensors")
    checkpoint.put(resumed, checkpoint.under("weights", found), tmp_path)
    optimizer = make_optimizer(resumed, settings)
    checkpoint.put_optimizer(optimizer, checkpoint.under("optimizer", found))
    for seed in range(3, 6):
        step(resumed, optimizer, seed)
    assert all(torch.equal(a, b) for a, b in zip(straight.parameters(), resumed.parameters(), strict=True))


def test_missing_checkpoint(tmp_path):
    """What makes it is named."""
    run = tmp_path / "run"
    with pytest.raises(UsageError) as error:
        checkpoint.read(run / "best" / "weights.safetensors")
    assert str(error.value) == (
        f"{run}/best/weights.safetensors: no checkpoint there; `star train RECIPE --run {run}` makes it"
    )


class Hostile:
    """Pickled, it would leave a file behind when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickle_is_refused_and_not_run(tmp_path):
    """A stranger's pickle under a checkpoint's name does nothing."""
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pickle.dumps(Hostile(tmp_path / "ran")))
    with pytest.raises(UsageError, match="not a whole checkpoint"):
        checkpoint.read(path)
    assert not (tmp_path / "ran").exists()


def test_cut_file_is_refused(tmp_path):
    """A file that ends too early is not taken for a checkpoint."""
    path = tmp_path / "weights.safetensors"
    checkpoint.write(path, {"a": torch.ones(100)}, {})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match=r"not a whole checkpoint .*; delete it, or train again"):
        checkpoint.read(path)


def test_other_format_is_refused(tmp_path):
    """Safetensors of another program, or of a later star."""
    path = tmp_path / "weights.safetensors"
    save_file({"a": torch.ones(1)}, path, {"format": "star-checkpoint 2", "note": json.dumps({})})
    with pytest.raises(UsageError) as error:
        checkpoint.read(path)
    assert str(error.value) == f"{path}: format 'star-checkpoint 2'; this star reads 'star-checkpoint 1'"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("0.bias"), "W: has no 0.bias; it belongs to another network"),
        (
            lambda w: w.update(x=torch.ones(1)),
            "W: has x, which this network lacks; it belongs to another network",
        ),
        (
            lambda w: w.update({"2.weight": torch.ones(2, 5)}),
            "W: 2.weight is (2, 5), this network's is (2, 4); it belongs to another network",
        ),
    ],
)
def test_weights_of_another_network(change, message):
    """The first misfit is named."""
    weights = dict(model().state_dict())
    change(weights)
    with pytest.raises(WeightsError) as error:
        checkpoint.put(model(), weights, "W")
    assert str(error.value) == message


def test_unwritable_folder_is_one_line(tmp_path):
    """A file where the folder should be: said in one line."""
    (tmp_path / "run").write_text("")
    with pytest.raises(StorageError) as error:
        checkpoint.write(tmp_path / "run" / "x.safetensors", {"a": torch.ones(1)}, {})
    assert str(error.value) == (
        f"{tmp_path}/run/x.safetensors: cannot be written: File exists; free space, or choose another --run"
    )
