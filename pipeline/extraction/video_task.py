"""What a child process does with one video: digest, decode, joints of the annotation, frames cut to size.

Everything that touches a stranger's bytes with a decoder happens here, and only what the stages need comes back.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ...errors import AnnotationError, StarError, UnreadableVideo, VideoError, unexpected
from ...stages.cropping import Crop, crop_frame
from ...stages.decode import DecodeStage, open_video
from ...stages.jpeg_cropping import crop_reduced_frame, reduction_factor
from ...stages.pose.estimator import person_crops
from ...stages.pose.people import whole_frame_boxes
from ...stages.pose.person_crop import PersonCropper
from ...stages.pose.projection import FRAME as PROJECTED_SIZE
from ...stages.pose.projection import Projection
from ...stages.pose.stage import annotated_boxes, annotated_keypoints
from ...stages.readers.base import FOLDER_RATE
from ...stages.skeleton_mapping import convert_joints
from ...stages.skeletons import Skeleton
from .. import datasets
from ..datasets.base import Annotation, Video, extent, require_layout, require_media
from ..planning.source_changes import Digests, digests
from .shared_frames import SharedFrames, attached

if TYPE_CHECKING:
    from ...stages.readers.base import VideoReader

Arrays = dict[str, Any]  # the arrays of one clip, by name
Annotations = dict[tuple[Any, str], Annotation]  # by file and part of it


@dataclass(frozen=True)
class VideoTask:
    """One video's task.

    views: the views wanted. chosen: their arrays of stage decode, where those are cached. keypoints: their joints,
    where those are cached. annotated: whether to take the joints from the annotation. occluded: with those that are not
    seen. projection: how those in three dimensions become flat. choose: which people's. link: whether they are linked
    over time. skeleton: the annotation's layout. layout: the one that is stored, where it is another. frames: "cut" to
    `size` by `crop`, "full" for a network that must see them first, "none". window, boxes: how a pose model looks at
    people, and whose boxes it gets: the annotation's, the whole frame, or (None) those of a detector that sees full
    frames. jpeg: "scaled" to decode JPEG frames no larger than the crop needs. known: digests that need not be read
    again. slots: where in shared memory the cut frames of a view go; without one they are part of the result.
    """

    video: Video
    kind: str
    views: tuple[int, ...]
    decode: DecodeStage
    crop: Crop
    size: int
    reader: str = "auto"
    jpeg: str = "exact"
    people: int = 1
    choose: str = "auto"
    link: bool = False
    skeleton: Skeleton | None = None
    layout: Skeleton | None = None
    annotated: bool = False
    occluded: bool = False
    projection: Projection | None = None
    frames: Literal["cut", "full", "none"] = "cut"
    window: PersonCropper | None = None
    boxes: Literal["annotations", "frame"] | None = None
    chosen: Mapping[int, Arrays] = field(default_factory=dict)
    keypoints: Mapping[int, np.ndarray] = field(default_factory=dict)
    known: Digests = Digests()
    slots: Mapping[int, int] = field(default_factory=dict)


@dataclass
class VideoResult:
    """What came of it, per view: the arrays of decode, the joints, the frames (T, size, size, 3) uint8 if cut (those
    without a slot), a pose model's boxes (T, people, 4) px and crops (k, h, w, 3) uint8.

    full: frame number -> (h, w, 3) uint8, if asked for. seconds, processor: how long it took, and the processor's time.
    """

    digests: Digests
    chosen: dict[int, Arrays]
    keypoints: dict[int, np.ndarray] = field(default_factory=dict)
    frames: dict[int, np.ndarray] = field(default_factory=dict)
    boxes: dict[int, np.ndarray] = field(default_factory=dict)
    crops: dict[int, np.ndarray] = field(default_factory=dict)
    full: dict[int, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    processor: float = 0.0

    @property
    def wanted(self) -> list[int]:
        """The frames of all its views, ascending."""
        return sorted({int(frame) for arrays in self.chosen.values() for frame in arrays["frame_index"]})


VideoResults = list[VideoResult | VideoError]  # one for each task of a `SharedTask`


@dataclass(frozen=True)
class SharedTask:
    """The tasks of one video: one alone, or those of several of its spans, for which it is opened and decoded once."""

    tasks: tuple[VideoTask, ...]

    @property
    def video(self) -> Video:
        """The first one."""
        return self.tasks[0].video

    @property
    def name(self) -> str:
        """What the video is called in messages: of several spans the path that they share."""
        return self.video.id if len(self.tasks) == 1 else self.video.path

    @property
    def slots(self) -> list[int]:
        """All slots that it was lent."""
        return [slot for task in self.tasks for slot in task.slots.values()]


def lend_slots(slots: SharedFrames, shared: SharedTask) -> SharedTask:
    """The same tasks with a slot for each view's frames, where they are cut and so many slots are free."""
    lent = []
    for job in shared.tasks:
        numbers = slots.take(len(job.views)) if job.frames == "cut" else ()
        lent.append(replace(job, slots=dict(zip(job.views, numbers, strict=True))) if numbers else job)
    return SharedTask(tuple(lent))


def read_videos(shared: SharedTask) -> VideoResults:
    """Read one video for all its tasks; the first result has the time that it took. Of several tasks one that fails
    has its error as its result; of a single one it is raised, a VideoError."""
    began, used = time.perf_counter(), time.process_time()
    jobs = [job if attached() else replace(job, slots={}) for job in shared.tasks]
    results = _read_spans(jobs) if len(jobs) > 1 else _read(jobs)
    for result in results:
        if isinstance(result, VideoResult):
            result.seconds, result.processor = time.perf_counter() - began, time.process_time() - used
            break
    return results


def read_video(job: VideoTask) -> VideoResult:
    """Read one video for one task. Raises VideoError."""
    (found,) = read_videos(SharedTask((job,)))
    assert isinstance(found, VideoResult)
    return found


def _read_spans(jobs: list[VideoTask]) -> VideoResults:
    """All spans at once, or where the video does not decode each by itself: it may be whole where a span lies."""
    with suppress(Exception):
        return _read(jobs)
    return _each(jobs, lambda job: next(iter(_read([job]))))


def _each(jobs: list[VideoTask], work: Callable[[VideoTask], VideoResult | VideoError]) -> VideoResults:
    """What the work gives for every task; of several, one that fails has its error."""
    results: VideoResults = []
    for job in jobs:
        try:
            results.append(work(job))
        except (VideoError, StarError, MemoryError) as error:
            if len(jobs) == 1 or not isinstance(error, VideoError):
                raise
            results.append(error)
        except Exception as error:
            if len(jobs) == 1:
                raise
            results.append(unexpected(job.video.id, error))
    return results


def _read(jobs: list[VideoTask]) -> VideoResults:
    """The result of every task; they are of one video and want the same of it. Raises VideoError."""
    first = jobs[0]
    known: Annotations = {}
    if first.kind == "joints":
        return _each(jobs, lambda job: _read_joints(job, _annotated(job, known)))
    if first.frames == "none" and first.window is None and first.chosen:
        return _each(jobs, lambda job: _with_joints(job, dict(job.chosen), _annotated(job, known)))
    require_media(first.video)
    likely = first.decode.frame_selector(first.video.id, first.views) if first.video.span is None else None
    with open_video(first.video.media, reader=first.reader, selector=likely) as reader:
        results = _each(jobs, lambda job: _begun(job, reader, _annotated(job, known)))
        begun = [(job, one) for job, one in zip(jobs, results, strict=True) if isinstance(one, VideoResult)]
        if begun:
            _take_frames(reader, begun, known)
    return results


def _with_joints(job: VideoTask, chosen: dict[int, Arrays], annotation: Annotation | None) -> VideoResult:
    """A result without pictures."""
    return _joined(job, VideoResult(digests(job.video, job.known), chosen), annotation)


def _annotated(job: VideoTask, known: Annotations) -> Annotation | None:
    """The annotation that a task wants, read once for all spans that share it."""
    if job.kind != "joints" and not job.annotated and job.boxes != "annotations":
        return None
    key = job.video.annotation, job.video.part
    if key not in known:
        known[key] = annotation_of(job)
    return known[key]


def _begun(job: VideoTask, reader: VideoReader, annotation: Annotation | None) -> VideoResult:
    """A task's frames and joints, before any picture is decoded."""
    found = digests(job.video, job.known)
    if not found.video:  # without it nobody could tell whether the features are those of these bytes
        raise UnreadableVideo(f"{job.video.id}: its bytes cannot be read; check its permissions (chmod +r)")
    chosen = dict(job.chosen) or {view: choose_frames(job, view, reader) for view in job.views}
    return _joined(job, VideoResult(found, chosen), annotation)


def read_views(job: VideoTask, reader: VideoReader, found: Digests, annotation: Annotation | None) -> VideoResult:
    """The views of an open video: their frames, joints and cuts. annotation: the video's, where the task takes it."""
    chosen = dict(job.chosen) or {view: choose_frames(job, view, reader) for view in job.views}
    result = _joined(job, VideoResult(found, chosen), annotation)
    known = {} if annotation is None else {(job.video.annotation, job.video.part): annotation}
    _take_frames(reader, [(job, result)], known)
    return result


def _take_frames(reader: VideoReader, begun: list[tuple[VideoTask, VideoResult]], known: Annotations) -> None:
    """Decode once what any of the tasks wants, and give each its own."""
    first = begun[0][0]
    wanted = sorted({frame for _, result in begun for frame in result.wanted})
    frames: Iterator[tuple[int, np.ndarray]] | None = None
    if first.window is not None or first.frames == "full":
        full = dict(reader.frames(wanted))
        for job, result in begun:
            result.full = {frame: full[frame] for frame in result.wanted}
            _look(job, result, _annotated(job, known))
        frames = iter(full.items())
    if first.frames == "cut":
        if first.jpeg == "scaled" and first.video.media.is_dir():
            cuts = [reduced_views(reader, result, job) for job, result in begun]
        else:
            cuts = cut_views(reader.frames(wanted) if frames is None else frames, begun)
        for (job, result), cut in zip(begun, cuts, strict=True):
            result.frames = {view: picture for view, picture in cut.items() if view not in job.slots}
    if first.frames != "full":
        for _, result in begun:
            result.full = {}


class _Timeline(NamedTuple):
    """What joints without a video tell of it, as a reader of videos does."""

    frame_count: int
    times: np.ndarray
    frame_size: tuple[int, int]


def _read_joints(job: VideoTask, annotation: Annotation | None) -> VideoResult:
    """Joints without a video: they say themselves how many frames there are, how large, and how fast they follow."""
    assert annotation is not None
    count = len(annotation.keypoints)
    if not count:
        raise AnnotationError(f"{job.video.id}: no frames; take it off the list")
    size = PROJECTED_SIZE if annotation.is_spatial else extent(annotation)
    timeline = _Timeline(count, np.arange(count) / (annotation.rate or FOLDER_RATE), size)
    chosen = dict(job.chosen) or {view: choose_frames(job, view, timeline) for view in job.views}
    return _with_joints(job, chosen, annotation)


def choose_frames(job: VideoTask, view: int, reader: Any) -> Arrays:
    """The arrays of stage decode for one view. Raises UnreadableVideo where no frame lies in the video's span."""
    times = np.asarray(reader.times, dtype=np.float64)
    first, count = job.video.span.frames(times) if job.video.span else (0, int(reader.frame_count))
    if not count:
        raise UnreadableVideo(
            f"{job.video.id}: no frame lies in its span; the video has {reader.frame_count} frames, the last at "
            f"{times[-1]:.2f} s"
        )
    index, flip = job.decode.sample(job.video.id, view, count)
    index = (index + first).astype(np.int32)
    return {
        "frame_index": index,
        "time": times[index],
        "frame_size": np.array(reader.frame_size, dtype=np.int32),
        "frame_count": np.int32(count),
        "flip": np.uint8(flip),
    }


def _joined(job: VideoTask, result: VideoResult, annotation: Annotation | None) -> VideoResult:
    """Add the joints of every view: cached ones, or the annotation's, mirrored where the view is."""
    result.keypoints = dict(job.keypoints)
    if not job.annotated or annotation is None:
        return result
    for view, arrays in result.chosen.items():
        own, index = _within_span(job, annotation, arrays, view)
        if not own.is_spatial:
            joints = own.joints(occluded=job.occluded)
        elif job.kind != "joints":
            raise AnnotationError(f"{job.video.id}: its joints have three dimensions; a video needs them in its pixels")
        elif job.projection is None:
            raise AnnotationError(
                f"{job.video.id}: its joints have three dimensions; set pose.projection to front, side or camera"
            )
        else:
            joints = job.projection.project(own.keypoints, own.skeleton or job.skeleton, job.video.id, view)
        count = int(arrays["frame_count"])
        found = annotated_keypoints(joints, index, count, job.people, job.choose, link=job.link)
        result.keypoints[view] = stored(found, arrays, job.skeleton, job.layout)
    return result


def _within_span(job: VideoTask, annotation: Annotation, arrays: Arrays, view: int) -> tuple[Annotation, np.ndarray]:
    """The annotation of the video's span, and the clip's frames (T) counted from its beginning."""
    index = arrays["frame_index"]
    if job.video.span is None:
        return annotation, index
    count = int(arrays["frame_count"])
    first = int(index[0] - job.decode.sample(job.video.id, view, count)[0][0])
    parts = {
        name: None if values is None else values[first : first + count]
        for name in ("keypoints", "boxes", "occluded")
        for values in [getattr(annotation, name)]
    }
    return replace(annotation, **parts), index - first  # pyright: ignore[reportArgumentType]


def stored(keypoints: np.ndarray, arrays: Arrays, skeleton: Skeleton | None, layout: Skeleton | None) -> np.ndarray:
    """Joints of `skeleton` as they are cached: mirrored where the view is, and in the recipe's layout."""
    if skeleton is None:
        return keypoints
    if arrays["flip"]:
        keypoints = skeleton.flip(keypoints, int(arrays["frame_size"][0]))
    return keypoints if layout is None else convert_joints(keypoints, skeleton, layout)


def annotation_of(job: VideoTask) -> Annotation:
    """The annotated joints of a task's video. Raises AnnotationError."""
    if job.video.annotation is None:
        remedy = "pose.source to mmpose" if job.annotated else "pose.detector to frame, or to a torchvision detector"
        raise AnnotationError(f"{job.video.id}: no annotated joints; set {remedy}, or take the video off the list")
    found = datasets.read_annotation(job.kind, job.video.annotation, job.video.part)
    require_layout(job.video, found, job.skeleton)
    return found


def _look(job: VideoTask, result: VideoResult, annotation: Annotation | None) -> None:
    """Cut what a pose model sees, where the boxes are known without a detector."""
    if job.window is None or job.boxes is None:
        return
    for view, arrays in result.chosen.items():
        index, (width, height) = arrays["frame_index"], (int(side) for side in arrays["frame_size"])
        if job.boxes == "annotations" and annotation is not None:
            own, within = _within_span(job, annotation, arrays, view)
            count = int(arrays["frame_count"])
            boxes = annotated_boxes(own.keypoints, own.boxes, within, count, job.people, job.choose, link=job.link)
        else:
            boxes = whole_frame_boxes(len(index), job.people, (width, height))
        result.boxes[view] = boxes
        result.crops[view] = person_crops(job.window, [result.full[int(i)] for i in index], boxes)


def cut_views(
    frames: Iterator[tuple[int, np.ndarray]], begun: Sequence[tuple[VideoTask, VideoResult]]
) -> list[dict[int, np.ndarray]]:
    """Per task the frames of every view, cut to the view's region while they stream by: no video is ever held whole."""
    cuts: list[dict[int, np.ndarray]] = []
    takers: dict[int, list[tuple[VideoTask, np.ndarray, np.ndarray, np.ndarray, bool]]] = defaultdict(list)
    for job, result in begun:
        cuts.append({})
        for view, arrays in result.chosen.items():
            index, flip = arrays["frame_index"], bool(arrays["flip"])
            region = region_of(job.crop, arrays, result.keypoints.get(view), job.video.id, view)
            cuts[-1][view] = room = _room(job, view, len(index))
            for number in {int(frame) for frame in index}:
                takers[number].append((job, room, np.flatnonzero(index == number), region, flip))
    for number, frame in frames:
        for job, room, places, region, flip in takers.get(number, ()):
            room[places] = crop_frame(frame, region, job.size, flip=flip)
    return cuts


def _room(job: VideoTask, view: int, frames: int) -> np.ndarray:
    """Where the frames of a view go: its slot, or memory of this process."""
    slots = attached()
    if view in job.slots and slots is not None:
        return slots[job.slots[view]]
    return np.empty((frames, job.size, job.size, 3), np.uint8)


def reduced_views(reader: VideoReader, result: VideoResult, job: VideoTask) -> dict[int, np.ndarray]:
    """The same from JPEG frames, each decoded no larger than its view needs: what a view gets depends on it alone."""
    cuts: dict[int, np.ndarray] = {}
    for view, arrays in result.chosen.items():
        width, height = (int(side) for side in arrays["frame_size"])
        region = region_of(job.crop, arrays, result.keypoints.get(view), job.video.id, view)
        index, factor = arrays["frame_index"], reduction_factor(region, job.size)
        cuts[view] = _room(job, view, len(index))
        for number, frame in reader.reduced(index, factor):
            small = crop_reduced_frame(frame, region, job.size, (width, height), factor, flip=bool(arrays["flip"]))
            cuts[view][index == number] = small
    return cuts


def region_of(crop: Crop, arrays: Arrays, keypoints: np.ndarray | None, video_id: str, view: int) -> np.ndarray:
    """The region of one view, in the mirror image where the view is flipped: (4,) x0 y0 x1 y1, edge coordinates."""
    width, height = (int(side) for side in arrays["frame_size"])
    joints = np.zeros((1, 1, 1, 3), np.float32) if keypoints is None else keypoints
    return crop.region(joints, (width, height), video_id, view)
