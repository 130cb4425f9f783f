"""star.yaml <-> typed settings. The only reader of options: below this file everything takes plain arguments.

Every section is one frozen class; every field has its default here and nowhere else. `load` reads a file, lays
`--set a.b=c` over it, checks all of it and returns a `Recipe`; a wrong value is one line that names it.
Relative paths in a recipe count from the recipe's own folder.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from ...errors import RecipeError
from ...untrusted_files import UntrustedFile, parse_yaml, read_text, shown
from .base import LARGEST, AnySeed, Batch, Fraction, Layers, Positive, Real, Seed, Settings, Share, Views, Width
from .error_messages import first_problem
from .finetune_pretrain import FinetuneSettings, PretrainSettings, require_whole_frames

WORDS = {"default", "official", "random", "kinetics400"}  # weights by name; anything else is a file
LONGEST = 1 << 18  # bytes of a recipe: ten thousand classes
BACKBONES = (
    "mc3_18", "r3d_18", "r2plus1d_18", "resnet18", "resnet50", "convnext_tiny", "swin_t", "vit_b_16",
)  # fmt: skip
OWN_FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")  # package.module:function


class DatasetSettings(Settings):
    """Which videos, which labels, which split."""

    kind: Literal["penn_action", "ntu", "ucf101", "hmdb51", "kinetics", "videos", "joints", "drawn"]
    root: Path = Field(description="the data set's folder; joints: also a pickle")
    name: str | None = Field(
        default=None, description="name of the data set in the cache; the root's own name by default"
    )
    split: str = Field(
        default="official", description="official; NTU: xsub, xview or xset; joints: a protocol that the pickle names"
    )
    version: Literal[60, 120] = Field(default=60, description="NTU RGB+D 60 or 120")
    skeletons: Path | None = Field(default=None, description="NTU: folder of .skeleton files, where they lie elsewhere")
    missing: str | None = Field(
        default="official",
        description="NTU: the list of samples left out for missing skeletons: official (fetched once), none, or a file",
    )
    fold: Literal[1, 2, 3] = Field(default=1, description="UCF101, HMDB51: which of the three published splits")
    lists: Path | None = Field(
        default=None, description="UCF101, HMDB51, Kinetics: folder of the split lists, where they lie elsewhere"
    )
    list: Path | None = Field(
        default=None,
        description="videos, joints: the CSV, where it is not the only one in the root; or mmaction2's list; or an "
        "export of spans: ActivityNet JSON, CVAT XML, Label Studio JSON; or a folder of lists or exports",
    )
    labels: Literal["required", "none"] = Field(
        default="required",
        description="videos; none: all videos below the root, for `star extract` and `star pretrain`",
    )
    classes: tuple[str, ...] | None = Field(default=None, description="videos, Kinetics: the labels, in order")
    test_share: Share = Field(default=0.2, description="videos: share of test videos where the data set names no split")
    val_share: Fraction = Field(
        default=0.0, description="share of the training videos kept for validation, where the data set names none"
    )
    folds: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=0, description="the data in so many folds, of which one is for testing; 0: the data set's own split"
    )
    held_out: Positive = Field(default=1, description="which of the folds is for testing, from 1")
    split_by: str | None = Field(
        default=None, description="videos: a column of the CSV; no value of it stands on both sides of a drawn split"
    )
    split_seed: Seed = Field(default=0, description="videos: another seed draws another split")
    exclude: tuple[str, ...] = Field(
        default=(), description="videos to leave out, by id or by pattern (* ? [a-z]); the others keep their sides"
    )

    @field_validator("split")
    @classmethod
    def _known_split(cls, split: str, info: ValidationInfo) -> str:
        known = ("official", "xsub", "xview", "xset")
        if info.data.get("kind") != "joints" and split not in known:
            raise PydanticCustomError("literal_error", "Input should be 'official', 'xsub', 'xview' or 'xset'")
        return split


class CacheSettings(Settings):
    """Where features are kept, and how."""

    root: Path
    segment: Annotated[int, Field(ge=1, le=64)] = 64
    compression: Literal["none", "lzf", "gzip"] = "none"


class ViewsSettings(Settings):
    """How many choices of frames are cached of each video: view 0 is the centre frames, unflipped."""

    train: Views = 1
    test: Views = 1


class DecodeSettings(Settings):
    """Which frames of a video."""

    frames: Annotated[int, Field(ge=2, le=1 << 12)] = 16
    sampling: Literal["segments", "linspace", "window"] = "segments"
    seed: AnySeed = 0
    views: ViewsSettings = ViewsSettings()
    flip: bool = Field(default=True, description="views after the first are mirrored at random")
    reader: Literal["auto", "pyav", "decord"] = "auto"
    jpeg: Literal["exact", "scaled"] = Field(
        default="exact",
        description="folders of JPEG frames; scaled: decoded no larger than the crop needs, faster, not bit for bit",
    )
    keep: Literal["none", "frames"] = Field(
        default="none",
        description="frames: what the backbone sees is stored too; another backbone, layer, precision or weights then "
        "needs no video",
    )
    timeout: Annotated[Real, Field(gt=0, le=1e6)] = Field(
        default=60.0, description="seconds that one video may take to decode"
    )


class PoseSettings(Settings):
    """Where the joints come from."""

    source: Literal["annotations", "mmpose", "auto"] = Field(
        default="annotations", description="auto: annotations where a video has them, mmpose where it has none"
    )
    layout: Literal[
        "own", "penn_action", "coco", "h36m", "ntu", "kinect_v1", "openpose_18", "openpose_25", "blazepose_33",
        "halpe26", "mpii", "crowdpose", "jhmdb", "coco_wholebody",
    ] = Field(
        default="own", description="the joints that are cached: the source's own, or converted to a layout"
    )  # fmt: skip
    projection: Literal["front", "side", "camera"] | None = Field(
        default=None, description="joints in three dimensions: from where they are seen; front: the body faces us"
    )
    yaw: Annotated[Real, Field(ge=0, le=180)] = Field(
        default=0.0, description="joints in three dimensions: views after the first turn the body by up to so many "
        "degrees about the vertical axis",
    )  # fmt: skip
    up: Literal["x", "-x", "y", "-y", "z", "-z"] = Field(
        default="y", description="joints in three dimensions: the axis that points upwards"
    )
    scale: Annotated[Real, Field(ge=1e-6, le=1e6)] = Field(
        default=250.0, description="joints in three dimensions: pixels per unit, for a picture of 1000 x 1000"
    )
    centre: Literal["clip", "body"] = Field(
        default="clip",
        description="joints in three dimensions: what lies in the picture's middle, the clip's middle or, from left to "
        "right in every frame, the body's hips",
    )
    occluded: bool = Field(
        default=False, description="annotations: also joints that have a place but are marked as not seen"
    )
    model: str = Field(
        default="rtmpose-m_8xb256-420e_coco-256x192",
        description="mmpose's name of a top-down network, or drawn-13: star's own, for drawn figures",
    )
    checkpoint: str = Field(default="official", description="official, random, or a file")
    checkpoint_sha256: str | None = None
    detector: Literal[
        "annotations", "frame", "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_resnet50_fpn_v2",
    ] = "annotations"  # fmt: skip
    detector_weights: str = Field(default="official", description="official, random, or a file")
    detector_sha256: str | None = None
    people: Annotated[int, Field(ge=1, le=8)] = 1
    choose: Literal["auto", "largest", "moving", "score"] = Field(
        default="auto",
        description="which people count; auto: whoever moves most of annotated ones, area times score of detected ones",
    )
    link: bool = Field(
        default=False,
        description="annotations: people who change places along P are linked over time, as detected ones are",
    )
    seed: AnySeed = 0
    batch: Batch = 32

    @model_validator(mode="after")
    def _both_sources(self) -> PoseSettings:
        if self.source == "auto" and self.layout == "own":
            raise ValueError(
                "pose.layout: own: under pose.source auto annotated and estimated joints need one layout; set it to "
                "the data set's, like penn_action or ntu"
            )
        if self.source == "auto" and self.detector == "annotations":
            raise ValueError(
                "pose.detector: annotations: under pose.source auto it serves the videos that have none; set it to "
                "frame or to a torchvision detector"
            )
        return self


class BackboneSettings(Settings):
    """The video network and what it sees."""

    model: str = Field(
        default="mc3_18",
        description=f"{', '.join(BACKBONES)}, or package.module:function of your own; see backbones.md",
    )
    weights: str = Field(
        default="kinetics400", description="default (the network's official ones), kinetics400, random, or a file"
    )
    weights_sha256: str | None = None
    seed: AnySeed = Field(default=0, description="of random weights")
    size: Annotated[int, Field(ge=32, le=2048, multiple_of=16)] = 112
    crop: Literal["frame", "person"] = "frame"
    margin: Annotated[Real, Field(ge=0, le=100)] = Field(
        default=0.15, description="person: added on each side, as a share of the box"
    )
    jitter_scale: Fraction = Field(
        default=0.0, description="person: views after the first are scaled by up to this share"
    )
    jitter_shift: Fraction = Field(default=0.0, description="person: ... and shifted by up to this share of the box")
    global_layer: str = Field(default="layer4", description="by torchvision's name of the node")
    local_layer: str = Field(default="layer2", description="by torchvision's name of the node")
    precision: Literal["bfloat16", "float16", "float32"] = Field(
        default="bfloat16", description="at least as exact as this: float32 where the device has no fast units for it"
    )
    keep: Literal["all", "grid"] = Field(
        default="all",
        description="grid: the local map, most of the disk, is not stored; other tokens then need the videos again",
    )
    batch: Batch = 8

    @field_validator("model")
    @classmethod
    def _known_model(cls, model: str) -> str:
        if model not in BACKBONES and not OWN_FUNCTION.fullmatch(model):
            raise PydanticCustomError(
                "literal_error", f"Input should be {', '.join(BACKBONES)}, or package.module:function"
            )
        return model


class HeatmapsSettings(Settings):
    """Gaussians at the joints, or along the limbs."""

    of: Literal["joints", "limbs"] = Field(
        default="joints", description="limbs: a map for each line between two joints, as PoseC3D's second stream has"
    )
    sigma: Annotated[Real, Field(ge=0.01, le=1000)] = 1.0
    score_floor: Annotated[Real, Field(ge=0, lt=1)] = Field(
        default=0.0, description="joints with this score or less are absent"
    )
    people: Literal["merge", "separate"] = "merge"


class TokensSettings(Settings):
    """How local map and heat map become joint map tokens."""

    form: Literal["pool", "pool_map", "map", "heatmap", "concat_conv"] = "map"


class ModelSettings(Settings):
    """The STAR-Transformer."""

    width: Width = 512
    heads: Width = 8
    encoder_layers: Layers = 3
    decoder_layers: Layers = 3
    encoder: tuple[Literal["F", "Z", "B", "A"], ...] = Field(
        default=("F", "Z"), description="attention modules of a layer"
    )
    decoder: tuple[Literal["F", "Z", "B", "A"], ...] = ("F", "B")
    mlp_ratio: Annotated[Real, Field(gt=0, le=256)] = 4.0
    dropout: Fraction = 0.1
    attention_dropout: Fraction = Field(
        default=0.0, description="on attention weights; more than 0 is slow on CPUs: it leaves the fused kernel"
    )
    norm: Literal["post", "pre"] = "post"
    share_branches: bool = True
    order: Literal["restore", "concatenate"] = "restore"
    modalities: Literal["both", "global", "joint"] = "both"
    standardize: bool = Field(
        default=False,
        description="global grid, and the pooled channels of pool_map: each channel less its mean over its deviation; "
        "joint maps: all by one factor to one length; of the training clips",
    )
    class_tokens: Literal["frame", "clip", "none"] = "frame"
    position: Literal["joint", "all", "none"] = "joint"
    readout: Literal["class_tokens", "total", "mean"] = "class_tokens"
    head: Literal["mlp", "linear"] = "mlp"
    conv_channels: Width = Field(default=128, description="concat_conv: channels of its 1x1 convolution")
    pose_head: bool = Field(
        default=False,
        description="star finetune: the network finds the joints itself, its run needs no annotations and no estimator",
    )


class AugmentSettings(Settings):
    """What training changes of cached tokens, anew each epoch; nothing by default."""

    shift: Fraction = Field(default=0.0, description="joint maps are shifted by up to this share of the map")
    scale: Fraction = Field(default=0.0, description="joint maps are scaled by up to this share")
    stretch: Fraction = Field(default=0.0, description="joint maps' width is stretched against their height by as much")
    rotation: Annotated[Real, Field(ge=0, lt=180)] = Field(
        default=0.0, description="degrees; joint maps are moved as if the picture were turned by up to as much"
    )
    joint_dropout: Fraction = 0.0
    token_dropout: Fraction = 0.0
    joint_jitter: Annotated[Real, Field(ge=0, le=1000)] = Field(
        default=0.0, description="cells; each joint's map is moved by itself"
    )
    mixup: Annotated[Real, Field(ge=0, le=1000)] = 0.0


class TrainSettings(Settings):
    """How the network is trained; the defaults are the paper's."""

    epochs: Positive = 300
    batch: Batch = 4
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[Real, Field(gt=0, le=1e32)] = 2e-4
    momentum: Fraction = 0.9
    weight_decay: Annotated[Real, Field(ge=0, le=1e6)] = 0.0
    schedule: Literal["constant", "cosine", "onecycle"] = "constant"
    warmup: Share = Field(default=0.0, description="share of all steps")
    label_smoothing: Fraction = 0.0
    clip_norm: Annotated[Real, Field(ge=0, le=1e12)] = Field(
        default=0.0, description="largest gradient norm; 0 for no limit"
    )
    accumulate: Positive = 1
    ema: Fraction = Field(default=0.0, description="decay of the averaged weights; 0 for none")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto and bfloat16: bfloat16 where the device is fast in it, else float32"
    )
    compile: bool = False
    class_weights: bool = Field(
        default=False, description="rare classes count more; of clips of several labels, in each class's own question"
    )
    seed: Seed = 0
    fraction: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        default=1.0, description="share of the training videos used"
    )
    preload: Literal["auto", "none", "memory", "device"] = "auto"
    checksums: bool = Field(
        default=True, description="each cached row is proved to be what was written when it is first read"
    )
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    evaluate_every: Positive = 1
    checkpoint_every: Positive = 1
    patience: Annotated[int, Field(ge=0, lt=LARGEST)] = Field(
        default=0, description="epochs without a better result on the validation videos; 0 for no early stop"
    )
    best_by: Literal["top1", "mean_class", "loss", "mean_average_precision"] = Field(
        default="top1",
        description="what the best epoch has most of; mean_average_precision: where clips have several labels",
    )
    augment: AugmentSettings = AugmentSettings()
    tensorboard: bool = True
    wandb: str | None = Field(default=None, description="project name; needs the extra `wandb`")


class TestSettings(Settings):
    """How a trained network is judged."""

    __test__ = False  # not a test case of pytest's

    batch: Batch = 32
    views: Literal["first", "all"] = Field(default="all", description="probabilities are averaged over these views")
    checkpoint: Literal["last", "best"] = Field(
        default="last", description="best: the epoch that the validation videos choose; refused where there are none"
    )
    bootstrap: Annotated[int, Field(ge=0, le=100_000)] = 1000


class Recipe(Settings):
    """All of it; `star init` prints one."""

    dataset: DatasetSettings
    cache: CacheSettings
    decode: DecodeSettings = DecodeSettings()
    pose: PoseSettings = PoseSettings()
    backbone: BackboneSettings = BackboneSettings()
    heatmaps: HeatmapsSettings = HeatmapsSettings()
    tokens: TokensSettings = TokensSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    finetune: FinetuneSettings = FinetuneSettings()
    pretrain: PretrainSettings = PretrainSettings()
    test: TestSettings = TestSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.model.pose_head:
            require_whole_frames(self.dataset.kind, self.model.modalities, self.backbone.crop, self.heatmaps.of)
        if self.model.width % self.model.heads:
            raise ValueError(f"model.width: {self.model.width} is not a multiple of model.heads ({self.model.heads})")
        if self.decode.frames % 2 and {"Z", "B"} & {*self.model.encoder, *self.model.decoder}:
            raise ValueError(
                f"decode.frames: {self.decode.frames} is odd; zigzag and binary attention need an even number"
            )
        if self.backbone.keep == "grid" and self.tokens.form == "concat_conv":
            raise ValueError(
                "backbone.keep: grid: tokens.form: concat_conv reads the local map in training; set keep to all"
            )
        pictureless = (
            ("decode.keep", self.decode.keep, "none"),
            ("model.modalities", self.model.modalities, "joint"),
            ("tokens.form", self.tokens.form, "heatmap"),
            ("pose.source", self.pose.source, "annotations"),
        )
        for name, given, needed in pictureless if self.dataset.kind == "joints" else ():
            if given != needed:
                raise ValueError(
                    f"{name}: {given}: a data set of kind joints has no pictures, so there is nothing for a backbone "
                    f"or a pose estimator to see; set it to {needed}"
                )
        if self.decode.jpeg == "scaled" and self.pose.source != "annotations":
            raise ValueError(
                f"decode.jpeg: scaled needs pose.source: annotations, not {self.pose.source}: a pose network looks at "
                "whole frames; set decode.jpeg to exact"
            )
        return self


_PATHS = (*(("dataset", key) for key in ("root", "skeletons", "lists", "list")), ("cache", "root"))
_FILES = {  # and what else than a file stands there
    **dict.fromkeys((("pose", "checkpoint"), ("pose", "detector_weights"), ("backbone", "weights")), WORDS),
    ("dataset", "missing"): {"official", "none", None},
}


def parse(text: str, *, where: str = "recipe", overrides: tuple[str, ...] = (), base: Path | None = None) -> Recipe:
    """Read a recipe from YAML text.

    where: what to call it in messages. overrides: `section.key=value`, laid over the text, values read as YAML.
    base: the folder from which relative paths count; with it, all paths become absolute. Raises RecipeError with one
    line.
    """
    try:
        tree = parse_yaml(text)
    except UntrustedFile as error:
        raise RecipeError(f"{where}: {error}") from None
    if not isinstance(tree, dict):
        raise RecipeError(f"{where}: a recipe is a list of sections, like 'dataset:'; `star init` prints one")
    for override in overrides:
        _lay_over(tree, override)
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(f"{where}: {first_problem(error, Recipe)}") from None
    if base is None:
        return recipe
    tree = recipe.model_dump()
    for section, key in _PATHS:
        if tree[section][key] is not None:
            tree[section][key] = _absolute(f"{section}.{key}", tree[section][key], base)
    for (section, key), words in _FILES.items():
        if tree[section][key] not in words:
            tree[section][key] = str(_absolute(f"{section}.{key}", tree[section][key], base))
    return Recipe.model_validate(tree)


def load(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read the recipe in a file, see `parse`."""
    try:
        text = read_text(path, LONGEST)
    except (OSError, ValueError) as error:  # ValueError: also of a name that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecipeError(f"{path}: {reason}; `star init NAME --root DIR > {path.name}` makes a recipe") from None
    return parse(text, where=str(path), overrides=overrides, base=path.absolute().parent)


def dump(recipe: Recipe) -> str:
    """The recipe as YAML, every setting written out."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, width=120)


def _lay_over(tree: dict[str, Any], override: str) -> None:
    name, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override}: expected section.key=value")
    *sections, key = name.strip().split(".")
    for section in sections:
        if tree.get(section) is None:
            tree[section] = {}
        below: Any = tree[section]
        if not isinstance(below, dict):
            raise RecipeError(f"--set {override}: {section} is a value, not a section")
        tree = below
    try:
        tree[key] = parse_yaml(value)
    except UntrustedFile as error:
        wrong = "is not YAML; quote it" if str(error).startswith("not YAML") else error
        raise RecipeError(f"--set {override[:80]}: the value {wrong}") from None


def _absolute(name: str, path: str | Path, base: Path) -> Path:
    """A path of a recipe, from `base`. Raises RecipeError for one that no file can have."""
    if "\0" in str(path):
        raise RecipeError(f"{name}: {shown(str(path))}: no path has a NUL byte in it")
    try:
        return base / Path(path).expanduser()
    except RuntimeError:
        raise RecipeError(f"{name}: {shown(str(path))}: no user of that name has a home folder; write it out") from None
