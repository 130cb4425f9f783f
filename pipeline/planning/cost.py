"""What missing clips will cost: bytes from the arrays' shapes, seconds from what earlier segments took."""

from __future__ import annotations

from contextlib import suppress
from math import prod

from ...cache.store import StageStore
from ...errors import CacheError, StorageError
from ...stages.skeletons import SKELETONS
from ..recipe.schema import Recipe
from ..utils.text import amount
from .array_shapes import local_shape, shapes
from .plan import Plan, StagePlan

COCO_JOINTS = 17  # what a pose model gives, where the data set has no skeleton of its own
ROOM_LEFT = 64 << 20  # bytes that stay free for everybody else: a disk is never filled to its last byte


def clip_bytes(planned: Plan, stage: str) -> int:
    """Bytes of one clip's row in a stage, uncompressed; a little is added for its id, digest and checksum."""
    recipe = planned.recipe
    own = planned.manifest.skeleton if recipe.pose.source == "annotations" else None
    skeleton = SKELETONS.get(recipe.pose.layout, own)
    joints = len(skeleton.joints) if skeleton else COCO_JOINTS
    numbers = {name: prod(shape) for name, shape in shapes(recipe, planned.graph, joints).items()}
    row = {
        "decode": (4 + 8) * recipe.decode.frames + 13,
        "pose": 4 * numbers["keypoints"],
        "frames": 3 * recipe.decode.frames * recipe.backbone.size**2,
        "backbone": 2 * sum(numbers[name] for name in planned.graph["backbone"].arrays),
        "heatmaps": 2 * numbers["joint_heatmap"],
        "tokens": 2 * numbers.get("joint_map", 0),
    }
    return row[stage] + 100


def local_map_bytes(recipe: Recipe) -> int:
    """Bytes of one clip's local map, whether it is stored or not."""
    local = local_shape(recipe)
    return 2 * recipe.decode.frames * local.channels * local.side**2


def clip_seconds(planned: Plan, stage: StagePlan) -> float | None:
    """Seconds that a clip took in an earlier segment of the stage, under any key; None where there is none."""
    stage_stores = [
        stage.stage_store,
        *(stage_store for stage_store in planned.store.stage_stores() if other(stage_store, stage)),
    ]
    for stage_store in stage_stores:
        for name in stage_store.segments()[:1]:
            with suppress(CacheError):  # a damaged segment is told of elsewhere
                return float(stage_store.segment(name).provenance.get("seconds_per_clip", 0.0))
    return None


def other(stage_store: StageStore, stage: StagePlan) -> bool:
    """Whether a stage store holds the same stage under another key."""
    return stage_store.stage == stage.name and stage_store.key != stage.stage_store.key


def check_space(planned: Plan) -> None:
    """Refuse to begin what the disk cannot hold; what compression saves cannot be known. Raises StorageError."""
    if planned.recipe.cache.compression != "none":
        return
    needed = sum(len(stage.missing) * clip_bytes(planned, name) for name, stage in planned.stages.items())
    free = planned.store.free_bytes()
    if needed + ROOM_LEFT > free:
        raise StorageError(
            f"cache.root: {planned.recipe.cache.root} has {amount(free)} free, of which {amount(ROOM_LEFT)} stay free, "
            f"and {amount(needed)} would be written; free space, choose another cache, or extract less"
        )
