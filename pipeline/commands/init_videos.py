"""`star init videos`: a recipe for one's own videos, by looking at their folder. No video is opened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import AnnotationError, DatasetError, RecipeError
from ...stages.skeleton_mapping import joint_sources
from ...stages.skeletons import COCO, SKELETONS, Skeleton
from .. import datasets
from ..datasets.base import Manifest, one_sided, open_root
from ..datasets.custom.csv_list import csv_files
from ..datasets.custom.dataset import list_entries, manifest_of
from ..datasets.custom.listing import Listing
from ..datasets.custom.lists import EXPORTS
from ..datasets.custom.media_names import video_names
from ..datasets.custom.splits import seed_for
from ..datasets.detect import recognise
from ..datasets.published_splits import text_of
from ..recipe import presets
from ..recipe.schema import DatasetSettings
from ..utils.text import counted
from .init_recipe import PEOPLE, FoundData, InitRecipe, dataset_lines, refuse_other_kind, the_export

VALIDATION = (
    "  val_share: 0.1            # by which `star pretrain` chooses its best epoch; decided by each video's path\n"
)


@dataclass(frozen=True)
class FoundVideos(FoundData):
    """What was found in the folder. split: where it is from."""

    split: str

    @property
    def joints(self) -> int:
        """How many videos have annotated joints."""
        return sum(video.annotation is not None for video in self.manifest.videos)

    @property
    def skeleton(self) -> str | None:
        """Their layout."""
        return self.manifest.skeleton and self.manifest.skeleton.name

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return self.figures() | {"joints": self.joints, "skeleton": self.skeleton}

    def lines(self) -> str:
        """The recipe's first lines."""
        joints = f"Joints of {self.joints:,} of them ({self.skeleton})" if self.joints else "No joints"
        if not self.manifest.classes:
            return self.header("video", f"{joints}; for `star extract`, `star cache export`, `star pretrain`.")
        return self.header("video", f"{joints}; split {self.split}: {self.sides()}.")


def look(root: Path, cache: Path, preset: str | None = None) -> InitRecipe:
    """A recipe that works for the videos in ROOT, and what was found there.

    Where ROOT is not on this machine, the recipe is the general one, with a warning. Raises DatasetError where ROOT is
    a published data set, or holds joints alone (with the command that fits it), or holds no videos.
    """
    if not root.exists():
        warning = f"{root} is not there, so the recipe is a general one; here, `star extract` would find no videos"
        return InitRecipe(presets.ready("videos", root, cache, preset), warnings=(warning,))
    lists = csv_files(root) if root.is_dir() else []
    if root.is_dir():  # a published data set whose frames are elsewhere may look like joints alone
        _refuse_published(root, lists)
    refuse_other_kind("videos", root, lists)
    open_root(root)
    chosen, told = (lists[0] if len(lists) > 1 else None, []) if lists else the_export(root)
    settings, listing = _listed(DatasetSettings(kind="videos", root=root, list=chosen), is_listed=bool(lists or chosen))
    manifest = manifest_of(settings, listing)
    found = FoundVideos(manifest, "as listed" if all(entry.split for entry in listing.entries) else "drawn")
    layout = _layout(manifest.skeleton) if 0 < found.joints < len(manifest.videos) else None
    people = _people(manifest) if layout or found.joints == len(manifest.videos) else 0
    text = presets.ready("videos", root, cache, preset, people, layout).partition("\n")[2]
    text = text.replace("  test_share:", f"{dataset_lines(settings)}  test_share:")
    if not manifest.classes:
        text = re.sub(r"^  test_share: .*\n", VALIDATION, text, flags=re.MULTILINE)
        text = re.sub(r"^  (# split_by|label_smoothing): .*\n", "", text, flags=re.MULTILINE)
    text = found.for_labels(text)
    return InitRecipe(
        found.lines() + text, found, (*told, *_warnings(root, found, layout, lists, listed=bool(lists or chosen)))
    )


def _refuse_published(root: Path, lists: Sequence[Path]) -> None:
    """Published data sets have recipes of their own; whoever has a list has decided what it is."""
    listed = any("youtube_id" not in text_of(path).partition("\n")[0] for path in lists)
    name, sign = ("", "") if listed else recognise(root)
    if name:
        raise DatasetError(
            f"init videos: {root} looks like {name} ({sign}); use `star init {name} --root {root}`, "
            "or list your own choice of videos in a CSV (video,label,split)"
        )


def _listed(settings: DatasetSettings, *, is_listed: bool) -> tuple[DatasetSettings, Listing]:
    """What ROOT holds, and the settings by which it is read: without labels where videos lie in ROOT itself and its
    folders are no classes, or a single one."""
    root = settings.root
    is_loose = not is_listed and any("/" not in name for name in video_names(root))
    try:
        listing = list_entries(root, settings)
    except DatasetError:
        if not is_loose:
            raise
        listing = Listing()
    if is_loose and len({entry.label for entry in listing.entries}) < 2:
        settings = settings.model_copy(update={"labels": "none"})
        return settings, list_entries(root, settings)
    return settings.model_copy(update={"split_seed": seed_for(listing.entries, settings.test_share)}), listing


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


def _warnings(
    root: Path, looked: FoundVideos, layout: str | None, lists: Sequence[Path], *, listed: bool
) -> tuple[str, ...]:
    """What stands in the way of a good result."""
    manifest, joints = looked.manifest, looked.joints
    found = [one_sided(manifest)]
    if len(lists) > 1:
        names = ", ".join(path.name for path in lists)
        found.append(f"there are {len(lists)} CSV files ({names}); the recipe takes the first, see dataset.list")
    if 0 < joints < len(manifest.videos):
        missing = len(manifest.videos) - joints
        takes = "theirs from mmpose" if layout else "all joints by mmpose"
        found.append(f"{counted(missing, 'video')} without joints, so the recipe takes {takes}")
    unknown = (
        [path.name for path in root.glob("*.*") if path.suffix.lower() in (*EXPORTS, ".txt")] if not listed else []
    )
    if unknown:
        names = ", ".join(sorted(unknown)[:3]) + (", …" if len(unknown) > 3 else "")
        found.append(f"{names}: no list that star reads, so it counts for nothing; docs/ways-in.md shows those it does")
    if len(manifest.classes) == 1:
        found.append(f"only one class, {manifest.classes[0]!r}: there is nothing to tell apart")
    return tuple(line for line in found if line)
