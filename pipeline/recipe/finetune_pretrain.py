"""Settings of `star finetune` and `star pretrain`, beside those of `star train`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .base import Positive, Real, Settings


class FinetuneSettings(Settings):
    """What `star finetune` does with the backbone; all else is as in `train`."""

    learning_rate: Annotated[Real, Field(gt=0, le=1e32)] = Field(
        default=1e-5, description="of the backbone, at its highest; it follows train.schedule"
    )
    freeze: tuple[str, ...] = Field(
        default=(), description="layers of the backbone that stay as they are, as [stem, layer1]"
    )
    batch_norm: Literal["eval", "train"] = Field(
        default="eval", description="eval: the statistics of the weights' own training; train: each batch's"
    )
    checkpointing: bool = Field(
        default=False, description="clip by clip, each computed twice: the memory of one clip instead of a batch"
    )
    pose_weight: Annotated[Real, Field(gt=0, le=1e6)] = Field(
        default=0.1, description="model.pose_head: how much the loss of its maps counts beside that of the classes"
    )
    pose_tokens: Literal["cached", "own"] = Field(
        default="own",
        description="model.pose_head: with which maps joint tokens are made in training; own: the head's, which the "
        "classes then teach too. What is judged sees the head's alone",
    )


class PretrainSettings(Settings):
    """How `star pretrain` hides tokens; all else is as in `train`."""

    share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.5, description="of the cells of the grid, and of the joints, that are hidden"
    )
    span: Positive = Field(default=4, description="frames in a row for which a cell or joint is hidden")


def require_whole_frames(kind: str, modalities: str, crop: str, maps: str) -> None:
    """Refuse what a pose head cannot do. Raises ValueError.

    kind: dataset.kind. modalities: model.modalities. crop: backbone.crop. maps: heatmaps.of.
    """
    told = None
    if kind == "joints":
        told = "dataset.kind: joints has no pictures to find joints in; set it to false"
    elif modalities == "global":
        told = "model.modalities: global takes no joints; set it to false"
    elif crop == "person":
        told = "backbone.crop: person cuts frames around joints, which nobody knows of a new video; set it to frame"
    elif maps == "limbs":
        told = "heatmaps.of: limbs: it makes maps of joints; set it to joints"
    if told:
        raise ValueError(f"model.pose_head: true: {told}")
