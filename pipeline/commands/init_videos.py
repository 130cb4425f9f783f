"""`star init videos`: a recipe for one's own videos, by looking at their folder. No video is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...errors import AnnotationError, DatasetError, RecipeError
from ...stages.skeleton_mapping import joint_sources
from ...stages.skeletons import COCO, SKELETONS, Skeleton
from .. import datasets
from ..datasets.base import Manifest, one_sided, open_root
from ..datasets.custom.csv_list import Entry, csv_files
from ..datasets.custom.dataset import list_entries
from ..datasets.custom.splits import sides
from ..datasets.detect import recognise
from ..datasets.split_files import text_of
from ..recipe import presets
from ..recipe.schema import DatasetSettings
from ..utils.text import counted
from .init_recipe import PEOPLE, FoundData, InitRecipe

SEEDS = 200  # tried where chance left a class without test videos
SMALL = 5000  # videos; with more of them, chance does not


@dataclass(frozen=True)
class FoundVideos(FoundData):
    """What was found in the folder. joints: how many videos have annotated ones; skeleton: their layout."""

    joints: int
    skeleton: str | None

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"classes": list(self.classes)}

    def header(self, split: str) -> str:
        """The recipe's first lines. split: where it is from."""
        joints = f"joints of {self.joints:,} of them ({self.skeleton})" if self.joints else "no joints"
        return (
            f"# {counted(self.videos, 'video')}, {len(self.classes)} class{'es' * (len(self.classes) != 1)} "
            f"({self.first_classes}), {joints}; split {split}: "
            f"{self.train:,} for training, {self.test:,} for testing.\n"
            "# Every setting that is not here has its default.\n"
        )


def look(root: Path, cache: Path, preset: str | None = None) -> InitRecipe:
    """A recipe that works for the videos in ROOT, and what was found there.

    Where ROOT is not on this machine, the recipe is the general one, with a warning. Raises DatasetError where ROOT is
    a published data set (with the name that fits it), or holds no videos.
    """
    if not root.exists():
        warning = f"{root} is not there, so the recipe is a general one; here, `star extract` would find no videos"
        return InitRecipe(presets.ready("videos", root, cache, preset), warnings=(warning,))
    open_root(root)
    lists = csv_files(root)
    listed = any("youtube_id" not in text_of(path).partition("\n")[0] for path in lists)  # its owner says what it is
    name, sign = ("", "") if listed else recognise(root)
    if name:
        raise DatasetError(
            f"init videos: {root} looks like {name} ({sign}); use `star init {name} --root {root}`, "
            "or list your own choice of videos in a CSV (video,label,split)"
        )
    chosen = lists[0] if len(lists) > 1 else None
    entries = list_entries(root, chosen).entries
    settings = DatasetSettings(kind="videos", root=root, list=chosen, split_seed=_seed(entries))
    manifest = datasets.load(settings)
    joints = sum(video.annotation is not None for video in manifest.videos)
    layout = _layout(manifest.skeleton) if 0 < joints < len(manifest.videos) else None
    people = _people(manifest) if layout or joints == len(manifest.videos) else 0
    split = Counter(video.split for video in manifest.videos)
    skeleton = manifest.skeleton and manifest.skeleton.name
    found = FoundVideos(len(manifest.videos), manifest.classes, split["train"], split["test"], joints, skeleton)
    choices = f"  list: {presets.quoted(chosen)}\n" if chosen else ""
    if settings.split_seed:
        choices += f"  split_seed: {settings.split_seed:<14}# the first that puts every class on both sides\n"
    text = presets.ready("videos", root, cache, preset, people, layout).partition("\n")[2]
    text = text.replace("  test_share:", f"{choices}  test_share:")
    header = found.header("as listed" if all(entry.split for entry in entries) else "drawn")
    return InitRecipe(header + text, found, _warnings(manifest, joints, layout, lists))


def _seed(entries: Sequence[Entry]) -> int:
    """The first seed by which every class has training and test videos; 0 where none does, or needs to."""
    classes = len({entry.label for entry in entries})
    for seed in range(SEEDS if len(entries) <= SMALL else 0):
        split = sides(entries, test_share=DatasetSettings.model_fields["test_share"].default, seed=seed)
        if len({(entry.label, side) for entry, side in zip(entries, split, strict=True)}) == 2 * classes:
            return seed
    return 0


def _people(manifest: Manifest) -> int:
    """How many people the joints of the first readable file have, 1 or 2."""
    for video in manifest.videos:
        try:
            if video.annotation:
                found = datasets.read_annotation("videos", video.annotation)
                return max(1, min(PEOPLE, found.keypoints.shape[1]))
        except AnnotationError:
            continue
    return 1


def _layout(skeleton: Skeleton | None) -> str | None:
    """The layout in which annotated and estimated joints meet: the annotation's own, or the pose estimator's."""
    if skeleton is None:
        return None
    known = SKELETONS.get(skeleton.name)
    if known is not None and known.joints == skeleton.joints:
        return known.name
    try:
        return COCO.name if joint_sources(skeleton, COCO) else None
    except RecipeError:
        return None


def _warnings(manifest: Manifest, joints: int, layout: str | None, lists: Sequence[Path]) -> tuple[str, ...]:
    """What stands in the way of a good result."""
    found = [one_sided(manifest)]
    if len(lists) > 1:
        names = ", ".join(path.name for path in lists)
        found.append(f"there are {len(lists)} CSV files ({names}); the recipe takes the first, see dataset.list")
    if 0 < joints < len(manifest.videos):
        missing = len(manifest.videos) - joints
        takes = "theirs from mmpose" if layout else "all joints by mmpose"
        found.append(f"{counted(missing, 'video')} without joints, so the recipe takes {takes}")
    if len(manifest.classes) == 1:
        found.append(f"only one class, {manifest.classes[0]!r}: there is nothing to tell apart")
    return tuple(line for line in found if line)
