"""mmpose's top-down networks by their official names: configuration, weights, joints, and the network itself.

Names, configurations and addresses are those of mmpose's own metafiles, which its package carries; nothing here is a
second list. Beside them stand the networks that star brings itself, in the folder `shipped`. A name is never a path:
a configuration is a program, and a recipe must not choose which one runs.
"""

from __future__ import annotations

import copy
import difflib
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from ...errors import MissingPackage, RecipeError, WeightsError
from .. import weights
from ..skeletons import Skeleton
from . import mmpose_compat
from .person_crop import PersonCropper

if TYPE_CHECKING:
    from torch import nn

# star's own networks, configuration and weights in one folder, and the sha256 of those weights. A cache knows them by
# their name: whoever trains one anew gives it another.
BUNDLED_FOLDER = Path(__file__).with_name("shipped")
BUNDLED = {"drawn-13": "f433ecb9c4c08be174a7fc73a54c818eb224d985d0543e20a4dd8b729933104f"}


class PublishedModel(NamedTuple):
    """One model of mmpose's metafiles: its configuration and the address of its weights (None where it has none)."""

    config: Path
    weights: str | None


class ModelSpec(NamedTuple):
    """What a network is, before it is built.

    config: mmpose's settings of the network, as plain dicts. window: what it sees. skeleton: what it gives.
    """

    config: dict[str, Any]
    window: PersonCropper
    skeleton: Skeleton


@lru_cache(maxsize=1)
def _published() -> dict[str, PublishedModel]:
    """All models by name: those of the metafiles, then the configurations that no metafile lists.

    Where the metafiles give a name twice, the entry whose configuration is called so is the right one.
    """
    folder = mmpose_compat.folder()
    models: dict[str, PublishedModel] = {}
    for metafile in _yaml(folder / "model-index.yml")["Import"]:
        content = _yaml(folder / metafile)
        for entry in content["Models"] if isinstance(content, dict) else content:
            name, config, address = entry["Name"], folder / entry["Config"], entry.get("Weights")
            if config.is_file() and (name not in models or config.stem == name):
                models[name] = PublishedModel(config, address.strip("() ") if address else None)  # one has a bracket
    for config in sorted((folder / "configs").rglob("*.py")):
        if "_base_" not in config.parts:
            models.setdefault(config.stem, PublishedModel(config, None))
    return models


def _yaml(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def published_model(name: str) -> PublishedModel:
    """Where mmpose, or star itself, keeps the model called `name`; does not import mmpose.

    Raises RecipeError with the closest names where there is no such model.
    """
    if name in BUNDLED:
        return PublishedModel(BUNDLED_FOLDER / f"{name}.yaml", None)
    models = _published()
    if name in models:
        return models[name]
    close = difflib.get_close_matches(name, [*models, *BUNDLED], 3, 0.3)
    raise RecipeError(f"pose.model: mmpose has no model {name!r}; the closest are {', '.join(close) or 'none'}")


def weights_url(name: str) -> str:
    """The address of the official weights of `name`; RecipeError where mmpose publishes none."""
    found = published_model(name).weights
    if found is None:
        raise RecipeError(f"pose.checkpoint: mmpose publishes no weights of {name}; give a file, or random")
    return found


def display_name(name: str) -> str:
    """What messages call a network."""
    return f"{'star' if name in BUNDLED else 'mmpose'}'s {name}"


def official_weights(name: str) -> Path:
    """The file of the official weights of `name`: star's own, or what mmpose publishes, fetched once.

    Raises RecipeError where there are none, DownloadError, and WeightsError where star's own file is not as it came.
    """
    if name not in BUNDLED:
        return weights.fetch(weights_url(name), display_name(name))
    file = BUNDLED_FOLDER / f"{name}.safetensors"
    if weights.sha256(file) != BUNDLED[name]:
        raise WeightsError(f"{file}: not the weights that star brings for {name}; install star again")
    return file


@lru_cache(maxsize=4)
def window(name: str) -> PersonCropper:
    """How people are cut out of frames for `name`: read from its configuration alone, without importing mmpose.

    Raises RecipeError as `model_spec` does.
    """
    steps = {step["type"]: step for step in _settings(name).test_dataloader.dataset.pipeline}
    if "TopdownAffine" not in steps:
        raise RecipeError(f"pose.model: {name} does not look at single frames of one person")
    affine, centre = steps["TopdownAffine"], steps.get("GetBBoxCenterScale", {})
    width, height = affine["input_size"]
    return PersonCropper(width, height, centre.get("padding", 1.25), affine.get("use_udp", False))


@lru_cache(maxsize=4)
def model_spec(name: str) -> ModelSpec:
    """Read the configuration of `name`. Raises RecipeError where it is no top-down network for single frames."""
    settings = _settings(name)
    model = settings.model.to_dict()
    if model["type"] != "TopdownPoseEstimator":
        raise RecipeError(f"pose.model: {name} is not a top-down network; rtmpose-… and td-hm_… are")
    model = _cleaned(model)
    model["train_cfg"] = None
    model["test_cfg"] = {**(model.get("test_cfg") or {}), "flip_test": False, "output_heatmaps": False}
    kept = model["test_cfg"].get("output_keypoint_indices")
    count = len(kept) if kept is not None else model["head"].get("out_channels") or model["head"].get("num_joints")
    for loader in (settings.test_dataloader, settings.train_dataloader):
        described = _described(loader.dataset)  # of those that the configuration names: has it as many as the network?
        if described is not None and len(described["keypoint_info"]) == count:
            return ModelSpec(model, window(name), _as_skeleton(described))
    raise RecipeError(f"pose.model: {name} gives {count} joints that no data set of its configuration names")


@lru_cache(maxsize=4)
def _settings(name: str) -> Any:
    """The configuration of `name`, read once for the window and for the network."""
    return _read(published_model(name).config, name)


def _read(path: Path, name: str) -> Any:
    """mmengine's Config of one of mmpose's own files."""
    try:
        return mmpose_compat.import_module("mmengine.config").Config.fromfile(str(path))
    except (OSError, RuntimeError):  # one of mmpose's files names a base that it does not have
        raise RecipeError(f"pose.model: mmpose's configuration of {name} cannot be read; choose another") from None


def _cleaned(tree: Any) -> Any:
    """Leave out what would reach beyond mmpose: other packages' scopes, downloads of backbones, synchronised norms."""
    if isinstance(tree, list | tuple):
        return type(tree)(_cleaned(item) for item in tree if not _downloads(item))
    if not isinstance(tree, dict):
        return tree
    kept = {key: _cleaned(value) for key, value in tree.items() if key != "_scope_" and not _downloads(value)}
    if kept.get("type") == "SyncBN":
        kept["type"] = "BN"
    return kept


def _downloads(value: Any) -> bool:
    return isinstance(value, dict) and value.get("type") == "Pretrained"


def _described(dataset: Any) -> dict[str, Any] | None:
    """A data set's joints as mmpose describes them: in the configuration, or in a file of mmpose's that it names."""
    metainfo = dataset.get("metainfo")
    if metainfo is None:
        mmpose_compat.import_module("mmpose.datasets")
        known = mmpose_compat.import_module("mmpose.registry").DATASETS.get(dataset["type"])
        metainfo = getattr(known, "METAINFO", {})
    if "keypoint_info" in metainfo:
        return metainfo
    if "from_file" not in metainfo:
        return None
    file = mmpose_compat.folder() / "configs" / "_base_" / "datasets" / Path(metainfo["from_file"]).name
    return _read(file, file.stem).dataset_info


def _as_skeleton(described: dict[str, Any]) -> Skeleton:
    joints = [described["keypoint_info"][number] for number in sorted(described["keypoint_info"])]
    names = tuple(joint["name"] for joint in joints)
    place = {name: index for index, name in enumerate(names)}
    pairs = {tuple(sorted((place[joint["name"]], place[joint["swap"]]))) for joint in joints if joint.get("swap")}
    limbs = tuple((place[a], place[b]) for a, b in (limb["link"] for limb in described["skeleton_info"].values()))
    flips = tuple(sorted((left, right) for left, right in pairs if left != right))
    return Skeleton(described["dataset_name"], names, flips, limbs)


def build(name: str, seed: int = 0, *, draw: bool = True) -> nn.Module:
    """The network called `name`, on the CPU, in evaluation mode, with weights drawn from `seed` as mmpose draws them.

    draw: False where a file's weights take their places at once. The same seed gives the same weights; torch's own
    random state is left as it was.
    """
    import torch

    config = copy.deepcopy(model_spec(name).config)  # building takes entries out of the settings it is given
    models = mmpose_compat.import_module("mmpose.models")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"mmpose\.")  # its autocast is an old spelling
    with _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = models.build_pose_estimator(config)
        except (KeyError, ImportError) as error:  # parts that other packages register
            reason = " ".join(str(error.args[0] if error.args else error).split()).partition(". ")[0]
            raise MissingPackage(f"pose.model: {name}: {reason}; choose another model") from None
        if draw:
            network.init_weights()
    return network.eval()


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """mmengine tells stdout about every parameter it draws; let it build in mmpose's scope, and in silence."""
    scope = mmpose_compat.import_module("mmengine.registry").DefaultScope
    logger = mmpose_compat.import_module("mmengine.logging").MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with scope.overwrite_default_scope("mmpose"):
            yield
    finally:
        logger.setLevel(level)
