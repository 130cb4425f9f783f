"""Weights files: read without running anything in them, told apart by their bytes, fetched where there is a net.

A torch checkpoint is a pickle, and a pickle is a program. Here only its tensors are built. The few other things that
training frameworks leave beside them (numpy arrays, log buffers, settings) are read into stand-ins that hold nothing,
and whatever else a file asks for is refused before it runs.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import urllib.request
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DownloadError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor, nn

TIMEOUT_SECONDS = 20.0  # how long a server may keep us waiting for the next bytes

# What mmpose and mmengine leave in a checkpoint beside the weights, under the paths of numpy 1 and numpy 2.
_BESIDE_THE_WEIGHTS = (
    "numpy.ndarray",
    "numpy.dtype",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",  # a log buffer names its own methods through it; here it gets nothing
    "mmengine.config.config.ConfigDict",
)
_HARMLESS = re.compile(r"(^|\.)num_batches_tracked$|^data_preprocessor\.(mean|std)$")
_HASHED = re.compile(r"-([0-9a-f]{8,})\.\w+$")  # torch's convention: name-<first digits of the sha256>.pth


class _StandIn:
    """Takes the place of an object that is not a weight; accepts whatever the pickle hands it and keeps none of it."""

    def __new__(cls, *_arguments: object) -> _StandIn:
        return super().__new__(cls)

    def __init__(self, *_arguments: object) -> None:
        """Nothing is kept."""

    def __setstate__(self, _state: object) -> None:
        """Nothing is kept."""


def sha256(path: Path) -> str:
    """The sha256 of a file's bytes, as 64 hex digits; WeightsError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise _unreadable(path, error) from None
    return digest.hexdigest()


def load_state_dict(path: Path) -> dict[str, Tensor]:
    """The named tensors in a .safetensors file or a torch checkpoint, on the CPU.

    A checkpoint's "state_dict" or "model" entry is unwrapped and "module." of a data-parallel run taken off.
    Raises WeightsError, one line, where the file is absent, cut short, no checkpoint, or would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file; correct the path in the recipe")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            content: Any = load_file(path)
        except SafetensorError:
            raise _broken(path) from None
        except OSError as error:
            raise _unreadable(path, error) from None
    else:
        content = _checkpoint(path)
    for name in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            return _plain(content[name], path)
    return _plain(content, path)


def _checkpoint(path: Path) -> Any:
    import torch

    try:
        # one class per allowed path: torch finds them by `__module__` and `__qualname__`
        paths = (path.rpartition(".") for path in _BESIDE_THE_WEIGHTS)
        stand_ins: list[Any] = [type(name, (_StandIn,), {"__module__": module}) for module, _, name in paths]
        with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on pickle protocols
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise _unreadable(path, error) from None
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))  # out of torch's page-long explanation
        if asked is None:
            raise _broken(path) from None
        raise WeightsError(
            f"{path}: refused: loading it would run {asked[1]}, which is no part of a checkpoint; "
            "get its weights as .safetensors from someone you trust"
        ) from None
    except Exception:  # arbitrary bytes make torch's reader fail in any way there is
        raise _broken(path) from None


def _unreadable(path: Path, error: OSError) -> WeightsError:
    return WeightsError(f"{path}: {error.strerror or 'cannot be read'}; give a weights file that can be read")


def _broken(path: Path) -> WeightsError:
    return WeightsError(f"{path}: cut short, or not a checkpoint; fetch or export it again")


def _plain(state: Any, path: Path) -> dict[str, Tensor]:
    """Check that it is names and tensors; torch's own `_metadata` stays on, since loading hooks read versions there."""
    import torch

    if not isinstance(state, dict) or not state:
        held = "nothing" if not state else f"a {type(state).__name__}"
        raise WeightsError(f"{path}: holds no weights, but {held}; give a checkpoint with a state_dict")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            kind = type(value).__name__
            raise WeightsError(
                f"{path}: holds no weights: {str(name)!r} is of type {kind}; give a checkpoint with a state_dict"
            )
    if all(name.startswith("module.") for name in state):
        return OrderedDict((name.removeprefix("module."), value) for name, value in state.items())
    return state


def load_into(model: nn.Module, state: Mapping[str, Tensor], path: Path | str, what: str) -> None:
    """Copy `state` into `model`, all of it or a WeightsError that names the first tensor that does not fit.

    path and what: the file and the network, as the message calls them. Counters of batch norm and the mean and std of
    a pre-processor may be absent or left over. After an error the model's weights are undefined.
    """
    for name, tensor in model.state_dict().items():
        given = state.get(name)
        if given is not None and given.shape != tensor.shape and _matters(name):
            raise _foreign(path, what, f"{name} is {_size(given)} in the file and {_size(tensor)} in the network")
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        lines = str(error).splitlines()
        raise _foreign(path, what, lines[min(1, len(lines) - 1)].strip()) from None
    for name in filter(_matters, missing):
        raise _foreign(path, what, f"{name} is missing from the file")
    for name in filter(_matters, unexpected):
        raise _foreign(path, what, f"the file holds {name}, which that network has not")


def _matters(name: str) -> bool:
    return _HARMLESS.search(name) is None


def _size(tensor: Tensor) -> str:
    return "x".join(str(length) for length in tensor.shape) or "a scalar"


def _foreign(path: Path | str, what: str, why: str) -> WeightsError:
    return WeightsError(f"{path}: belongs to another network than {what}: {why}; give the weights of {what}")


def cached_path(url: str) -> Path:
    """Where the file behind `url` is kept: torch hub's folder of checkpoints (TORCH_HOME moves it)."""
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def fetch(url: str, what: str) -> Path:
    """The file behind `url`, from torch hub's folder or, the first time, from the net.

    what: the network whose weights these are, for the message. Raises DownloadError as `download` does.
    """
    target = cached_path(url)
    if not target.is_file():
        download(url, target, f"the weights of {what}")
    return target


def download(
    url: str, target: Path, what: str, check: Callable[[Path], None] | None = None, otherwise: str = ""
) -> None:
    """Put the file behind `url` at `target`; the name appears only when the file is whole.

    what: the file, as the message calls it. check: raises ValueError with the reason where the file is not the one
    that is meant. otherwise: what else a user could do. Raises DownloadError, which says which file to put where.
    """
    partial = target.with_name(f"{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(url, partial)
        if check is not None:
            check(partial)
        partial.replace(target)
    except (OSError, ValueError) as error:  # urllib's errors are OSErrors
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        remedy = f"download {url} elsewhere and put it at {target}{otherwise}"
        inner = getattr(error, "reason", error)  # urllib wraps one error into another
        reason = getattr(inner, "strerror", None) or inner  # without its number
        raise DownloadError(f"{what} could not be fetched ({reason}): {remedy}") from None


def _download(url: str, target: Path) -> None:
    """Stream `url` into `target`; ValueError where fewer bytes came than announced, or others than its name says."""
    digest, size = hashlib.sha256(), 0
    ask = urllib.request.build_opener().open  # urlopen would remember the proxies of its first call
    with ask(url, timeout=TIMEOUT_SECONDS) as answer, target.open("wb") as file:
        announced = answer.headers.get("Content-Length")
        while block := answer.read(1 << 20):
            file.write(block)
            digest.update(block)
            size += len(block)
    if announced is not None and size != int(announced):
        raise ValueError(f"only {size} of {announced} bytes came")
    named = _HASHED.search(url)
    if named and not digest.hexdigest().startswith(named[1]):
        raise ValueError(f"its sha256 begins with {digest.hexdigest()[:8]}, not with {named[1][:8]}")
