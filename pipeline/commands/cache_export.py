"""`star cache export`: cached features as plain files for other projects."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.atomic import reporting
from ...errors import MissingFeatures, UsageError
from ...untrusted_files import json_text
from ..planning.inputs import STAGE_OF, arrays_for
from ..planning.plan import Clip, Plan, clips_of, plan
from ..recipe.schema import Recipe
from ..utils.atomic import replace_bytes
from ..utils.progress import Progress

MANIFEST = "manifest.json"
CLIPS_PER_SHARD = 1000
STAGES = STAGE_OF | {"keypoints": "pose"}


@dataclass(frozen=True)
class FeatureExport:
    """What was written. clips: how many. left_out: clips that the cache lacks."""

    out: Path
    kind: str
    arrays: tuple[str, ...]
    clips: int
    left_out: int
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "out": str(self.out), "format": self.kind, "arrays": list(self.arrays), "clips": self.clips,
            "left_out": self.left_out,
        }  # fmt: skip

    def to_lines(self) -> list[str]:
        """One line, and one more for clips that the cache lacks."""
        lines = [f"{self.out}: {self.clips:,} clips, {', '.join(self.arrays)}, as {self.kind}; see {MANIFEST}"]
        return [*lines, *([f"{self.left_out:,} clips are not in the cache: `star status`"] if self.left_out else [])]


def run_export(
    recipe: Recipe, out: Path, kind: str, arrays: Sequence[str] = (), *, quiet: bool = False
) -> FeatureExport:
    """Write every cached clip of the recipe, each proved by its checksum; the manifest comes last.

    kind: "npy", one file DIR/ARRAY/SAMPLE.npy per clip, or "webdataset", tar files DIR/SPLIT-NUMBER.tar of up to
    1,000 clips. arrays: by default those that the recipe's network takes. Raises UsageError where `out` holds
    something, MissingFeatures where no clip has all arrays, CorruptSegment, StorageError.
    """
    names = tuple(dict.fromkeys(arrays)) or arrays_for(recipe.model, recipe.tokens.form)
    if unknown := [name for name in names if name not in STAGES]:
        raise UsageError(f"cache export --array {unknown[0]}: is none of {', '.join(STAGES)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out}: is there already and not an empty folder; give another one")
    stages = tuple(dict.fromkeys(("decode", *(STAGES[name] for name in names))))
    planned = plan(recipe, only=stages)
    wanted = list(clips_of(recipe, planned.manifest))
    clips = [clip for clip in wanted if all((clip.video.id, clip.view) in planned.stages[s].places for s in stages)]
    if not clips:
        lacking = ", ".join(stages)
        raise MissingFeatures(
            f"cache.root: {recipe.cache.root} has no clip with all of {lacking}; run `star extract` first"
        )
    clips.sort(key=lambda clip: clip.video.split)  # the shards of one split follow each other
    with reporting(out):
        out.mkdir(parents=True, exist_ok=True)
        with Progress("export", len(clips), "clips", quiet=quiet) as bar:
            write = _write_npy if kind == "npy" else _write_tars
            entries: list[dict[str, Any]] = []
            for entry in write(out, planned, clips, names):
                entries.append(entry)
                bar.advance()
    about: dict[str, Any] = {"format": kind, "classes": list(planned.manifest.classes), "arrays": {}, "clips": entries}
    for name in names:  # an array's type and shape, and what it was computed with
        stage = planned.stages[STAGES[name]]
        array = stage.read([(clips[0].video.id, clips[0].view)], name)[0]
        of_array = {"dtype": str(array.dtype), "shape": list(array.shape), "stage": stage.name}
        about["arrays"][name] = of_array | {"key": stage.stage_store.key}
    replace_bytes(out / MANIFEST, json_text(about, 1).encode())
    return FeatureExport(out, kind, names, len(clips), len(wanted) - len(clips))


def _entry(planned: Plan, number: int, clip: Clip) -> dict[str, Any]:
    """What the manifest says of a clip. frame_times: (T) s, in the video."""
    times = planned.stages["decode"].read([(clip.video.id, clip.view)], "time")[0]
    label, several = clip.video.label, clip.video.labels
    more = {"labels": [planned.manifest.classes[one] for one in several], "classes": list(several)} if several else {}
    return {
        "sample": f"{number:08d}", "video": clip.video.id, "view": clip.view, "split": clip.video.split,
        "label": planned.manifest.classes[label] if label >= 0 else None, "class": label,
        **more, "frame_times": times.tolist(),
    }  # fmt: skip


def _write_npy(out: Path, planned: Plan, clips: Sequence[Clip], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        (out / name).mkdir()
    for number, clip in enumerate(clips):
        entry = _entry(planned, number, clip)
        for name in names:
            array = planned.stages[STAGES[name]].read([(clip.video.id, clip.view)], name)[0]
            np.save(out / name / f"{entry['sample']}.npy", array, allow_pickle=False)
        yield entry


def _write_tars(out: Path, planned: Plan, clips: Sequence[Clip], names: Sequence[str]) -> Iterator[dict[str, Any]]:
    entries = [_entry(planned, number, clip) for number, clip in enumerate(clips)]
    for split in dict.fromkeys(clip.video.split for clip in clips):
        numbers = [number for number, clip in enumerate(clips) if clip.video.split == split]
        for shard, start in enumerate(range(0, len(numbers), CLIPS_PER_SHARD)):
            with tarfile.open(out / f"{split}-{shard:06d}.tar", "w") as tar:
                for number in numbers[start : start + CLIPS_PER_SHARD]:
                    entry, of_clip = entries[number], [(clips[number].video.id, clips[number].view)]
                    members = {"json": json_text(entry).encode()}
                    members |= {"cls": str(entry["class"]).encode()} if entry["class"] >= 0 else {}
                    for name in names:
                        content = io.BytesIO()
                        array = planned.stages[STAGES[name]].read(of_clip, name)[0]
                        np.save(content, array, allow_pickle=False)
                        members[f"{name}.npy"] = content.getvalue()
                    for suffix, value in members.items():  # without times: the same features give the same file
                        member = tarfile.TarInfo(f"{entry['sample']}.{suffix}")
                        member.size = len(value)
                        tar.addfile(member, io.BytesIO(value))
                    yield entry | {"shard": f"{split}-{shard:06d}.tar"}
