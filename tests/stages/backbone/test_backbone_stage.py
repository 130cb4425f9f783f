"""The video network, against torchvision's own and against its promises."""

import numpy as np
import pytest
import torch
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.video import mc3_18

from star.errors import MachineError, WeightsError
from star.stages.backbone.architectures import LAYERS
from star.stages.backbone.stage import BackboneNetwork, BackboneStage
from star.stages.backbone.weights import load
from star.stages.weights import sha256

ARRAYS = ("global_grid", "local_map")
MEAN, DEVIATION = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)  # docs/method.md, "Backbone"


def clips(count, frames=2, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, frames, size, size, 3), np.uint8)


def small(**settings):
    return BackboneStage(**{"weights": "random", "size": 32, **settings})


def torchvision_features(state, frames, layers):
    """What torchvision's mc3_18 gives as a plain script runs it: default layout, float32, its own preprocessing."""
    model = mc3_18().eval()
    model.load_state_dict(state, strict=False)
    pixels = (torch.from_numpy(frames).float() / 255 - torch.tensor(MEAN)) / torch.tensor(DEVIATION)
    with torch.inference_mode():
        outputs = create_feature_extractor(model, layers)(pixels.permute(0, 4, 1, 2, 3).contiguous())
    return {layer: output.transpose(1, 2).numpy() for layer, output in outputs.items()}


def relative(found, expected):
    return np.linalg.norm(found.astype(np.float32) - expected) / np.linalg.norm(expected)


@pytest.fixture(scope="module")
def seeded():
    """The small network of the other tests, in batches of 4."""
    return BackboneNetwork(small(), batch=4)


@pytest.fixture(scope="module")
def trained():
    """Weights as training leaves them, batch statistics included: a state dict of mc3_18 with its classifier."""
    torch.manual_seed(3)
    state = mc3_18().state_dict()
    for name, tensor in state.items():
        if name.endswith(("running_var", "bn1.weight")):
            tensor.uniform_(0.5, 1.5)
        elif name.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.1)
    return state


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 5e-4), ("float16", 2e-3), ("bfloat16", 2e-2)])
def test_features_are_torchvisions(trained, tmp_path, precision, tolerance):
    """The same weights give the features of torchvision's network, as exactly as the precision allows."""
    file = tmp_path / "mc3.pth"
    torch.save(trained, file)
    frames = clips(2)
    stage = small(weights=sha256(file), precision=precision)
    found = BackboneNetwork(stage, file=file, batch=2)(frames)
    expected = torchvision_features(trained, frames, {"layer4": "global_grid", "layer2": "local_map"})
    for name in ARRAYS:
        assert found[name].dtype == np.float16
        assert found[name].shape == expected[name].shape
        assert relative(found[name], expected[name]) < tolerance


def test_shapes_at_112():
    """The shapes of the table in docs/method.md, "Backbone", as the other stages and the training count on them."""
    features = BackboneNetwork(BackboneStage(weights="random"), batch=1)(clips(1, frames=2, size=112))
    assert features["global_grid"].shape == (1, 2, 512, 7, 7)
    assert features["local_map"].shape == (1, 2, 128, 28, 28)
    assert all(features[name].dtype == BackboneStage.arrays[name].dtype for name in ARRAYS)
    assert all(np.isfinite(features[name]).all() for name in ARRAYS)


@pytest.mark.parametrize(
    ("global_layer", "local_layer", "shapes"),
    [
        ("layer4", "layer1", ((512, 2, 2), (64, 16, 16))),
        ("layer3", "layer2", ((256, 4, 4), (128, 8, 8))),
        ("layer3", "layer3", ((256, 4, 4), (256, 4, 4))),
    ],
)
def test_other_layers(global_layer, local_layer, shapes):
    """Any layer can be kept; `shape` tells the sides beforehand, and nothing deeper than needed is run."""
    stage = small(global_layer=global_layer, local_layer=local_layer)
    network = BackboneNetwork(stage, batch=1)
    features = network(clips(1))
    assert [features[name].shape[2:] for name in ARRAYS] == list(shapes)
    assert [(stage.shape(name).channels, *2 * (stage.shape(name).side,)) for name in ARRAYS] == list(shapes)
    assert [name for name, _ in network.features.layers][-1] == global_layer


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_that_is_kept_is_not_written_over(layer):
    """Each of the layers, kept beside the last, is what it is as the last one itself."""
    beside = BackboneNetwork(small(local_layer=layer), batch=1)(clips(1))["local_map"]
    last = BackboneNetwork(small(global_layer=layer, local_layer=layer), batch=1)(clips(1))["global_grid"]
    assert np.array_equal(beside, last)


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_features_do_not_depend_on_company(precision):
    """Alone, in a full batch, at another place of it or across batches: a clip's features are the same bits."""
    network = BackboneNetwork(small(precision=precision), batch=4)
    frames = clips(6)
    together = network(frames)
    for name in ARRAYS:
        assert np.array_equal(network(frames[2:3])[name][0], together[name][2])
        assert np.array_equal(network(frames[::-1])[name][::-1], together[name])
        assert np.array_equal(network(frames[[5, 1, 0]])[name], together[name][[5, 1, 0]])


def test_frames_keep_their_own_grids(seeded):
    """A change in one frame reaches five frames on each side, one per temporal convolution, and no further."""
    frames = clips(1, frames=16)
    changed = frames.copy()
    changed[0, 3] = 255 - changed[0, 3]
    for name in ARRAYS:
        moved = np.abs(seeded(frames)[name].astype(np.float32) - seeded(changed)[name])[0].mean(axis=(1, 2, 3))
        assert np.all(moved[9:] == 0)
        assert np.all(moved[:9] > 0)


def test_random_weights_are_pinned():
    """`random` names the same weights on every machine: a few of their values, and torch's generator is left alone."""
    before = torch.get_rng_state()
    state = load("random").state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    first, last = state["stem.0.weight"].flatten(), state["layer4.1.conv2.0.weight"].flatten()
    assert first[:3].tolist() == pytest.approx([0.0249864, 0.0017995, -0.0198596], abs=1e-6)
    assert last[-3:].tolist() == pytest.approx([0.0291323, 0.0087376, -0.0349513], abs=1e-6)
    assert not torch.equal(load("random", 1).state_dict()["stem.0.weight"].flatten(), first)


def test_random_features_stay_in_range(seeded):
    """Random weights neither blow up nor die out over the depth: far from float16's limits at both ends."""
    features = seeded(clips(4))
    for name in ARRAYS:
        assert 0.1 < features[name].astype(np.float32).mean() < 10
        assert features[name].max() < 100


def test_float16_never_becomes_infinite(tmp_path, trained):
    """Activations beyond float16's range are stored as its largest number."""
    file = tmp_path / "loud.pth"
    loud = {name: tensor.clone() for name, tensor in trained.items()}
    loud["layer2.1.conv2.1.weight"] *= 1e6
    torch.save(loud, file)
    features = BackboneNetwork(small(weights=sha256(file)), file=file, batch=1)(clips(1))
    assert features["local_map"].max() == np.finfo(np.float16).max


def test_checkpoint_without_classifier(trained, tmp_path):
    """A checkpoint fits with or without its classifier, whatever the number of its classes."""
    bare = {name: tensor for name, tensor in trained.items() if not name.startswith("fc.")}
    tuned = bare | {"fc.weight": torch.zeros(15, 512), "fc.bias": torch.zeros(15)}
    features = []
    for name, state in (("bare.pth", bare), ("tuned.pth", tuned)):
        torch.save(state, tmp_path / name)
        stage = small(weights=sha256(tmp_path / name))
        features.append(BackboneNetwork(stage, file=tmp_path / name, batch=1)(clips(1))["global_grid"])
    assert np.array_equal(*features)


def test_wrong_weights_are_refused(trained, tmp_path):
    """A file that is not the one in the key, and a file of another network: one line each."""
    other, swapped = tmp_path / "other.pth", tmp_path / "swapped.pth"
    torch.save({name: tensor for name, tensor in trained.items() if "layer4" not in name}, other)
    swapped.write_bytes(b"anything")
    with pytest.raises(WeightsError) as caught:
        BackboneNetwork(small(weights=sha256(other)), file=swapped)
    expected = f"backbone.weights: {swapped} is not the file with sha256 {sha256(other)}; give that file"
    assert str(caught.value) == expected
    with pytest.raises(WeightsError) as caught:
        BackboneNetwork(small(weights=sha256(other)), file=other)
    assert str(caught.value).startswith(f"{other}: belongs to another network than mc3_18: layer4.0.conv1.0.weight")
    with pytest.raises(WeightsError) as caught:
        BackboneNetwork(small(weights="0" * 64))
    expected = f"backbone.weights: {'0' * 64} is the sha256 of a file; name that file in the recipe"
    assert str(caught.value) == expected


class Starved(BackboneNetwork):
    """A network on a device whose memory is full."""

    def _forward(self, frames):
        raise torch.cuda.OutOfMemoryError(f"no room for {tuple(frames.shape)}")


def test_a_batch_too_large_for_the_device():
    """Out of memory says what to change, and does not change the batch by itself: that could move the features."""
    with pytest.raises(MachineError) as caught:
        Starved(small(), batch=3)(clips(2))
    expected = "backbone.batch: 3 clips of 2 frames do not fit into the memory of cpu; lower backbone.batch"
    assert str(caught.value) == expected


def test_settings_hold_what_can_change_features():
    """The seed counts where it draws the weights, the margin where it cuts."""
    assert BackboneStage(seed=1, margin=0.5).settings() == BackboneStage().settings()
    assert BackboneStage(weights="random", seed=1).settings() != BackboneStage(weights="random").settings()
    assert BackboneStage(crop="person", margin=0.5).settings() != BackboneStage(crop="person").settings()
    assert BackboneStage().settings() == {
        "model": "mc3_18", "weights": "kinetics400", "size": 112, "crop": {"crop": "frame"},
        "global_layer": "layer4", "local_layer": "layer2", "precision": "bfloat16",
    }  # fmt: skip
