"""Checkpoints: safetensors files with a JSON note in the header. Nothing in them can run code.

RUN/last/weights.safetensors    the network that is judged: the averaged weights where the recipe averages
RUN/last/state.safetensors      all that resuming needs: raw weights, optimizer, average, counters
RUN/best/weights.safetensors    the weights of the best epoch
Each file is whole by itself and is replaced in one rename.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from ...errors import UsageError, WeightsError
from ...untrusted_files import (
    Shape,
    UntrustedFile,
    each,
    named,
    number,
    one_of,
    optional,
    parse_json,
    plain,
    record,
    text,
    truth,
    whole,
)
from ..planning.inputs import STAGE_OF
from ..utils.atomic import replace_bytes

FORMAT = "star-checkpoint 1"
MOST = 1 << 20  # of anything that a network can be told to have


def _argument(value: Any, place: str) -> None:
    """A keyword argument of STARTransformer."""
    if isinstance(value, (bool, str)) or value is None:
        return
    if isinstance(value, list):
        each(text(1), 64)(value, place)
    elif isinstance(value, float):
        number(value, place)
    else:
        whole(0, MOST)(value, place)


NETWORK = record(
    {
        "network": named(_argument),
        "classes": each(text(), MOST),
        "arrays": each(one_of(*STAGE_OF)),
        "keys": record({}, dict.fromkeys(STAGE_OF, text())),
    },
    {
        "epoch": whole(),
        "scores": named(optional(number)),
        "multilabel": truth,
        "backbone": record(
            {"model": text(), "size": whole(1, MOST), "layers": each(text(), 2, 2), "form": text()},
            {"pose_head": record(dict.fromkeys(("channels", "joints"), whole(1, MOST)), closed=True)},
        ),
        "pretrained": truth,
    },
)
"""The note of a network's weights: how to build it, the classes and arrays that it knows, keys of these, its scores."""

STATE = record(
    {
        "counters": record(
            {},
            {
                **dict.fromkeys(("epoch", "batch", "step", "since_best"), whole()),
                **dict.fromkeys(("rate", "loss", "right", "seen", "busy", "waited", "seconds"), number),
                "best": named(optional(number)),
            },
            closed=True,
        )
    }
)
"""The note of a training's state, see `trainer.Counters`."""


def write(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """Write tensors and a JSON note; the file at `path` is the old one or the new one, never a part.

    Raises StorageError where the disk is full or the folder cannot be written.
    """
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    content = save(ready, {"format": FORMAT, "note": json.dumps(note, allow_nan=False)})
    replace_bytes(path, content)


def read(path: Path, shape: Shape = plain) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, in memory, and the note. shape: of the note.

    Raises UsageError where there is no such file or it is not star's.
    """
    with _opened(path, shape) as (file, note):
        return {name: file.get_tensor(name) for name in file.keys()}, note  # noqa: SIM118


@contextmanager
def _opened(path: Path, shape: Shape) -> Generator[tuple[Any, dict[str, Any]], None, None]:
    """The file and its note; what it raises inside is said in one line."""
    if not path.is_file():
        run = path.parent.parent
        begun = " --resume" if (run / "recipe.yaml").is_file() else ""
        remedy = f"`star train RECIPE --run {shlex.quote(str(run))}{begun}` makes it"
        if path.parent.name == "best" and (run / "last" / path.name).is_file():
            remedy = "another one is: --set test.checkpoint=last"
        raise UsageError(f"{path}: no checkpoint there; {remedy}")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise UsageError(f"{path}: format {header.get('format')!r}; this star reads {FORMAT!r}")
            note = parse_json(header["note"])
            if not isinstance(note, dict):
                raise UsageError(f"{path}: its note is no JSON object; delete it, or train again")
            shape(note, "")
            yield file, note
    except UntrustedFile as error:
        raise UsageError(f"{path}: its note {error}; delete it, or train again") from None
    except (SafetensorError, ValueError, KeyError, OSError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path}: not a whole checkpoint ({reason}); delete it, or train again") from None


def read_note(path: Path, shape: Shape = plain) -> tuple[list[str], dict[str, Any]]:
    """The names of the tensors, and the note, without the tensors. Raises what `read` raises."""
    with _opened(path, shape) as (file, note):
        return list(file.keys()), note


def put(model: nn.Module, weights: Mapping[str, Tensor], where: Path) -> None:
    """Load weights into a network of exactly their names and shapes. Raises WeightsError with the first misfit."""
    check(model, weights, where)
    model.load_state_dict(dict(weights))


def check(model: nn.Module, weights: Mapping[str, Tensor], where: Path) -> None:
    """Compare names and shapes of weights with a network's. Raises WeightsError with the first misfit."""
    own = model.state_dict()
    for name in [*own, *weights]:
        if name not in weights:
            raise WeightsError(f"{where}: has no {name}; it belongs to another network")
        if name not in own:
            raise WeightsError(f"{where}: has {name}, which this network lacks; it belongs to another network")
        if own[name].shape != weights[name].shape:
            found, wanted = tuple(weights[name].shape), tuple(own[name].shape)
            raise WeightsError(f"{where}: {name} is {found}, this network's is {wanted}; it belongs to another network")


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under `prefix/name`."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors below `prefix/`, without it."""
    return {name[len(prefix) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")}


def under_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """What the optimizer remembers, as `number of the parameter/name` -> tensor."""
    state = optimizer.state_dict()["state"]
    rows = ((number, name, value) for number, row in state.items() for name, value in row.items())
    return {f"{number}/{name}": torch.as_tensor(value) for number, name, value in rows if value is not None}


def put_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor], where: Any = "state") -> None:
    """Give the optimizer its memory back; the settings of its groups stay those of the recipe.

    Raises WeightsError where it is not of these parameters.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for place, tensor in tensors.items():
        index, _, name = place.partition("/")
        fits = index.isdecimal() and int(index) < len(parameters)
        if not fits or tensor.shape not in (parameters[int(index)].shape, torch.Size()):
            raise WeightsError(f"{where}: has optimizer/{place[:80]}, which this network's optimizer lacks")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
