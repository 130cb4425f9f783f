"""Features: what is read is what was written, however it is read."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from star.cache.segment import Row
from star.errors import CorruptSegment, DatasetError, MissingFeatures
from star.pipeline.planning.inputs import arrays_for
from star.pipeline.recipe import schema as recipes
from star.pipeline.training import memory_budget as memory
from star.pipeline.training.dataloader import FeatureLoader
from star.pipeline.training.dataset import Features, part_of, views_of_epoch

ARRAYS = ("global_grid", "joint_map")
BATCHES = [np.array([5, 0, 46]), np.array([7]), np.array([9, 9, 2, 1, 30]), np.array([11, 12])]


def expected(toy, selection, name, clips):
    shape = next(shapes[name] for shapes in toy.SHAPES.values() if name in shapes)
    return np.stack([toy.clip(selection.videos[clip], selection.views[clip], shape) for clip in clips])


def same(toy, selection, batch, clips):
    """Whether a batch holds exactly these clips."""
    arrays = [np.array_equal(batch[name].numpy(), expected(toy, selection, name, clips)) for name in ARRAYS]
    labels = [selection.videos[clip].label for clip in clips]
    return all(arrays) and batch["label"].tolist() == labels and batch["clip"].tolist() == list(clips)


@pytest.mark.parametrize("preload", ["none", "memory", "auto", "device"])
@pytest.mark.parametrize("compression", ["none", "lzf"])
def test_batch_is_what_was_written(toy, tmp_path, preload, compression):
    """A batch has the rows of its clips, in their order, bit for bit and in the stored type."""
    training, _ = toy.build(tmp_path, compression=compression)
    features = Features(training, ARRAYS, preload=preload)
    batch = features.__getitems__([40, 3, 3, 17])
    assert same(toy, training, batch, [40, 3, 3, 17])
    assert batch["joint_map"].dtype == torch.float16
    assert torch.equal(features[17]["joint_map"], batch["joint_map"][3])
    assert len(features) == 48


def test_shapes_come_from_the_files(toys):
    """Nothing but the segments says what a clip looks like."""
    features = Features(toys[0], (*ARRAYS, "local_map", "joint_heatmap"))
    assert features.shapes == {
        "global_grid": (4, 6, 2, 2),
        "joint_map": (4, 3, 64),
        "local_map": (4, 5, 8, 8),
        "joint_heatmap": (4, 3, 8, 8),
    }


def test_pickle_holds_no_map(toy, toys):
    """Features that have been read from can be sent to another process, and are small."""
    features = Features(toys[0], ARRAYS)
    features.__getitems__(range(48))
    sent = pickle.dumps(features)
    assert len(sent) < 20_000
    assert same(toy, toys[0], pickle.loads(sent).__getitems__([8, 1]), [8, 1])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_stream_reads_in_worker_processes(toy, toys, context):
    """Workers give the same batches in the same order, under fork and spawn, again in the next epoch."""
    features = Features(toys[0], ARRAYS)
    features.__getitems__([0])  # a map that the parent opened must not disturb its children
    stream = FeatureLoader(features, workers=2 if context == "fork" else 1, context=context)
    for batches in (BATCHES, BATCHES[::-1]):
        assert all(same(toy, toys[0], got, clips) for got, clips in zip(stream(batches), batches, strict=True))


@pytest.mark.parametrize("preload", ["none", "memory"])
def test_stream_reads_ahead_in_order(toy, toys, preload):
    """Without workers a thread reads ahead, and a stream left early can be used again."""
    stream = FeatureLoader(Features(toys[0], ARRAYS, preload=preload))
    unfinished = stream(BATCHES)
    assert same(toy, toys[0], next(unfinished), BATCHES[0])
    unfinished.close()
    assert all(same(toy, toys[0], got, clips) for got, clips in zip(stream(BATCHES), BATCHES, strict=True))


def test_torch_loader_takes_features(toy, toys):
    """Features are a plain torch data set: a DataLoader of one's own gives the same clips."""
    loader = DataLoader(Features(toys[0], ARRAYS), batch_sampler=[[4, 2], [1]], collate_fn=lambda batch: batch)
    assert all(same(toy, toys[0], got, clips) for got, clips in zip(loader, [[4, 2], [1]], strict=True))


def test_epoch_has_each_video_once(toys):
    """Every video once, in an order and with a view that only seed and epoch decide."""
    training = toys[0]
    videos = list(training.clips_of)
    epochs = [views_of_epoch(training.clips_of, videos, 3, epoch) for epoch in range(12)]
    for clips in epochs:
        assert sorted(training.videos[clip].id for clip in clips) == sorted(videos)
    assert {training.views[clip] for clips in epochs for clip in clips} == {0, 1}
    assert not np.array_equal(epochs[0], epochs[1])
    assert np.array_equal(epochs[5], views_of_epoch(training.clips_of, videos, 3, 5))
    assert not np.array_equal(epochs[5], views_of_epoch(training.clips_of, videos, 4, 5))


def test_part_is_stratified_and_nested(toys):
    """A share of the videos has the same share of each class, at least one, and grows by adding."""
    training = toys[0]
    label = {video.id: video.label for video in training.videos}
    quarter, half = (part_of(training, share, 1) for share in (0.25, 0.5))
    assert [sum(label[v] == k for v in quarter) for k in range(3)] == [2, 2, 2]
    assert set(quarter) < set(half)
    assert len(part_of(training, 0.001, 1)) == 3
    assert part_of(training, 0.25, 2) != quarter


@pytest.mark.parametrize(
    ("modalities", "form", "wanted"),
    [
        ("both", "map", ("global_grid", "joint_map")),
        ("both", "concat_conv", ("global_grid", "local_map", "joint_heatmap")),
        ("joint", "heatmap", ("joint_heatmap",)),
        ("joint", "pool", ("joint_map",)),
        ("global", "concat_conv", ("global_grid",)),
    ],
)
def test_arrays_follow_the_network(modalities, form, wanted):
    """Only what the network takes is read."""
    assert arrays_for(recipes.ModelSettings(modalities=modalities), form) == wanted


def test_preload_goes_by_size():
    """auto takes memory for what is small and files for what is not; other modes are obeyed."""
    cpu = torch.device("cpu")
    assert memory.choose_preload("auto", 10, cpu) == "memory"
    assert memory.choose_preload("auto", memory.available(), cpu) == "none"
    assert memory.choose_preload("none", 10, cpu) == "none"
    assert memory.choose_preload("device", 1 << 60, cpu) == "memory"


def test_empty_selection_is_refused(toys):
    """Nothing cached: what to do about it."""
    with pytest.raises(MissingFeatures) as error:
        Features(toys[0].pick([]), ARRAYS)
    assert str(error.value) == (
        "no clip of the selection is in the cache; `star extract` first, `star status` says why"
    )


def test_unlabelled_video_is_refused(toy, toys):
    """Training needs labels."""
    videos = [toy.Video("a/b.mp4", -1, "train", toys[0].videos[0].media), *toys[0].videos[1:]]
    selection = toy.Selection(videos, toys[0].views, toys[0].places, toys[0].stage_stores, [], toy.CLASSES)
    with pytest.raises(DatasetError) as error:
        Features(selection, ARRAYS)
    assert str(error.value) == "a/b.mp4: has no label; give it one, or leave it out of the split"


def test_missing_array_is_named(toys):
    """A stage store without the array that the network takes."""
    selection = toys[0]
    wrong = selection.stage_stores | {"tokens": selection.stage_stores["heatmaps"]}
    places = selection.places | {"tokens": selection.places["heatmaps"]}
    made = type(selection)(selection.videos, selection.views, places, wrong, [], selection.classes)
    first = sorted(wrong["heatmaps"].segments())[0]
    with pytest.raises(CorruptSegment) as error:
        Features(made, ("joint_map",))
    told = "has no joint_map; `star verify RECIPE --repair` moves it aside"
    assert str(error.value) == f"{wrong['heatmaps'].file(first)}: {told}"


def test_segment_of_another_shape_is_refused(toy, tmp_path):
    """All segments of a stage store hold clips of one shape; one that does not is named."""
    selection = toy.build(tmp_path)[0]
    stage_store = selection.stage_stores["tokens"]
    stage_store.write([Row("odd", "0" * 32, 0)], {"joint_map": np.zeros((1, 4, 3, 9), np.float16)}, {}, {})
    odd = stage_store.index().find(Row("odd", "0" * 32, 0))
    places = [*selection.places["tokens"][:2], odd]
    videos = [*selection.videos[:2], replace(selection.videos[2], id="odd")]
    made = type(selection)(
        videos, selection.views[:3], {"tokens": places}, selection.stage_stores, [], selection.classes
    )
    features = Features(made, ("joint_map",))
    sizes = ["float16 (4, 3, 9)", "float16 (4, 3, 64)"]
    found, wanted = sizes if odd.segment != features.rows["joint_map"].segments[0] else sizes[::-1]
    bad = odd.segment if found == sizes[0] else places[0].segment
    with pytest.raises(CorruptSegment) as error:
        features.__getitems__([2, 0])
    assert str(error.value) == (
        f"{stage_store.file(bad)}: joint_map is {found}, elsewhere {wanted}; "
        "`star verify RECIPE --repair` moves it aside"
    )


LARGE = """
import resource, sys
from pathlib import Path
import numpy as np
from star.cache.segment import Row
from star.cache.store import Store
from star.pipeline.datasets.base import Video
from star.pipeline.training.dataset import Features
from star.pipeline.planning.selection import Selection

stage_store, part = Store(sys.argv[1]).stage_store("backbone", "b" * 32), 16
array = np.ones((part, 8, 256, 16, 16), np.float16)  # 1 MiB a clip
videos = [Video(f"{number}.mp4", 0, "train", Path("gone.mp4")) for number in range(192)]
for start in range(0, len(videos), part):
    stage_store.write([Row(video.id, "", 0) for video in videos[start : start + part]], {"local_map": array}, {}, {})
places = stage_store.index().find_many([video.id for video in videos], [0] * 192, [""] * 192)
selection = Selection(videos, [0] * 192, {"backbone": places}, {"backbone": stage_store}, [], ("a",), None)
del array
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
limit = (int(status["VmData"].split()[0]) << 10) + (64 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
features = Features(selection, ("local_map",), preload=sys.argv[2])
for start in range(0, 192, 8):
    assert features.__getitems__(range(start, start + 8))["local_map"].amin() == 1
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("preload", ["none", "memory"])
def test_data_larger_than_memory(tmp_path, preload):
    """192 MiB of features where 64 MiB may be taken: read from the files they pass, preloaded they do not."""
    command = [sys.executable, "-c", LARGE, str(tmp_path), preload]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if preload == "none":
        assert done.returncode == 0, done.stderr
    else:
        assert "memory" in done.stderr.lower()
        assert done.returncode != 0
