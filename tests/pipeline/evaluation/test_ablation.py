"""Studies, the table that they end in, and the commands that look at a network: model, export."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from click.testing import CliRunner

from star.cli import STUDIES as NAMES
from star.cli import main
from star.pipeline.commands.model import run_model
from star.pipeline.evaluation.studies import STUDIES, grid
from star.pipeline.recipe import schema as recipes
from star.pipeline.training.augmentation import check as check_augment


def star(*words: str | Path) -> str:
    """Run a command; its standard output."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_study_is_made_of_settings_that_exist(extracted: Path) -> None:
    """Each variant is a recipe, and no two of a study are the same one."""
    assert tuple(STUDIES) == NAMES
    for study, variants in STUDIES.items():
        made = [recipes.load(extracted, over) for over in variants.values()]
        assert len(set(map(recipes.dump, made))) == len(made), study


@pytest.mark.parametrize("study", sorted(set(STUDIES) - {"training"}))
def test_every_study_goes_with_an_augmented_recipe(study: str, extracted: Path) -> None:
    """Where the recipe moves joint maps, variants that have none do not ask for it: training would refuse them."""
    asked = "train.augment={shift: 0.1, scale: 0.1, joint_jitter: 0.1, joint_dropout: 0.1}"
    for over in STUDIES[study].values():
        check_augment(recipes.load(extracted, (asked, *over)))


def test_every_form_of_joint_tokens_is_in_the_study() -> None:
    """A new form must not be forgotten."""
    forms = get_args(recipes.TokensSettings.model_fields["form"].annotation)
    assert set(STUDIES["joint-token"]) == set(forms)


def test_a_study_is_trained_once_and_gives_a_table(small: Path, tmp_path: Path) -> None:
    """Five token forms, extracted where they are missing, two seeds; the second call trains nothing."""
    runs = tmp_path / "runs"
    words = ("ablate", small, "--study", "joint-token", "--runs", runs, "--seeds", "2", "--device", "cpu", "-q")
    said = star(*words, "--classes", "raise_arms,lower_arms")
    head, _, *rows = said.splitlines()
    assert (
        head == "| joint-token | top-1 % | mean class % | raise_arms and lower_arms | parameters | steps | training |"
    )
    assert [row.split(" | ")[0] for row in rows[:5]] == ["| pool", "| pool_map", "| map", "| heatmap", "| concat_conv"]
    assert all(row.count(" ± ") == 3 for row in rows[:5])
    assert (runs / "joint-token.md").read_text() == said
    found = json.loads((runs / "joint-token.json").read_text())
    judged = json.loads((runs / "joint-token" / "map-seed1" / "test" / "metrics.json").read_text())
    assert found["variants"][2]["top1"][1] == judged["top1"]
    written = {file: file.stat().st_mtime_ns for file in runs.rglob("*.safetensors")}
    assert star(*words, "--classes", "raise_arms,lower_arms") == said
    assert {file: file.stat().st_mtime_ns for file in runs.rglob("*.safetensors")} == written


def test_settings_of_ones_own_are_varied_as_a_grid(small: Path, tmp_path: Path) -> None:
    """All combinations, several seeds, one table, which says which was best; finished runs are not trained again."""
    words = ("ablate", small, "--vary", "model.width=16,32", "--vary", "train.learning_rate=1e-3,3e-4", "--runs",
             tmp_path, "--seeds", "2", "--device", "cpu", "-q")  # fmt: skip
    said = star(*words)
    names = [row.split(" | ")[0].removeprefix("| ") for row in said.splitlines()[2:6]]
    rates = ("1e-3", "3e-4")
    assert names == [f"model.width={width}, train.learning_rate={rate}" for width in (16, 32) for rate in rates]
    assert "2 seeds each: mean ± standard deviation. Highest top-1: model.width=" in said
    folder = tmp_path / "grid-model-width-train-learning-rate"
    runs = sorted(path.name for path in folder.iterdir())
    assert len(runs) == 8
    run = recipes.load(folder / runs[-1] / "recipe.yaml")
    assert (run.model.width, run.train.learning_rate, run.train.seed) == (32, 3e-4, 1)
    written = {file: file.stat().st_mtime_ns for file in folder.rglob("*.safetensors")}
    assert star(*words) == said
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*.safetensors")} == written


def test_values_that_are_lists_are_one_value_each() -> None:
    """As YAML has them."""
    name, variants = grid(["model.encoder=[F],[F, Z]"])
    assert name == "grid model.encoder"
    assert list(variants.values()) == [('model.encoder=["F"]',), ('model.encoder=["F", "Z"]',)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--vary", "model.width"], "--vary model.width: expected section.key=value,value"),
        (["--vary", "train.seed=1,2"], "--vary train.seed=1,2: seeds are varied by --seeds"),
        (["--vary", "model.width=[", "--vary", "model.heads=2"], "--vary model.width=[: expected section.key=value,va"),
        (["--vary", "model.heads=2", "--vary", "model.heads=4"], "--vary model.heads=4: is varied twice; name all "),
        (["--vary", "model.widht=2,4"], "unknown key; did you mean 'width'?"),
        ([], "ablate: name a study (--study tokens) or settings of your own (--vary KEY=a,b), one of both"),
        (["--vary", "model.width=2", "--study", "depth"], "ablate: name a study (--study tokens) or settings of your"),
    ],
)
def test_a_grid_that_is_none_is_one_line(words: list[str], told: str, small: Path, tmp_path: Path) -> None:
    """Before anything is trained."""
    result = CliRunner().invoke(main, ["ablate", str(small), *words, "--runs", str(tmp_path / "runs"), "-q"])
    assert result.exit_code == 2
    assert told in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_study_goes_on_where_it_was_stopped(small: Path, tmp_path: Path) -> None:
    """A run that died within its first epoch is begun anew; with more epochs at a constant rate all are taken on."""
    words = ("ablate", small, "--study", "position", "--runs", tmp_path, "--seeds", "1", "--device", "cpu", "-q")
    star(*words)
    run = tmp_path / "position" / "none-seed0"
    rows = (run / "metrics.jsonl").read_text()
    (run / "last" / "state.safetensors").unlink()
    star(*words)
    assert [json.loads(row)["train_loss"] for row in (run / "metrics.jsonl").read_text().splitlines()] == [
        json.loads(row)["train_loss"] for row in rows.splitlines()
    ]
    epochs = recipes.load(small).train.epochs + 1
    star(*words, "--set", f"train.epochs={epochs}")
    assert len((run / "metrics.jsonl").read_text().splitlines()) == epochs


def test_runs_of_another_recipe_are_not_taken_for_this_ones(small: Path, tmp_path: Path) -> None:
    """Whoever changes the recipe gets no old figures in a new table."""
    words = ["ablate", str(small), "--study", "joint-token", "--runs", str(tmp_path / "runs"), "--seeds", "1", "-q"]
    star(*words, "--device", "cpu")
    result = CliRunner().invoke(main, [*words, "--device", "cpu", "--set", "train.learning_rate=0.5"])
    assert result.exit_code == 2
    run = tmp_path / "runs" / "joint-token" / "pool-seed0"
    assert (
        result.stderr
        == f"star: {run}: began with train.learning_rate 0.0002, now 0.5; set it back, or take another folder\n"
    )


def test_a_class_that_is_none_is_one_line(small: Path, tmp_path: Path) -> None:
    """Which classes there are."""
    words = ["ablate", str(small), "--study", "joint-token", "--runs", str(tmp_path), "--seeds", "1", "-q"]
    result = CliRunner().invoke(main, [*words, "--classes", "waive"])
    assert result.exit_code == 2
    assert result.stderr.startswith("star: --classes waive: the classes are ")


def test_model_is_the_network_that_training_builds(small: Path, tmp_path: Path) -> None:
    """The same parameters as a run's."""
    found = run_model(recipes.load(small)).to_document()
    rows = {row["module"]: row for row in found["modules"]}
    trained = json.loads(star("train", small, "--run", tmp_path / "run", "--device", "cpu", "-q", "--json"))
    assert rows["total"]["parameters"] == trained["parameters"]
    (total,) = [line for line in star("model", small).splitlines() if line.startswith("total")]
    assert f"{trained['parameters']:,}" in total


def test_model_names_the_backbone(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every kind: its layers' channels and cells, the parameters and FLOPs as far as they go; none for joints."""
    import torch
    import torchvision

    found = run_model(recipes.load(small)).to_document()["backbone"]
    assert found["layers"] == {
        "global_grid": {"layer": "layer4", "channels": 512, "side": 2},
        "local_map": {"layer": "layer2", "channels": 128, "side": 8},
    }
    for name, build in (("mc3_18", torchvision.models.video.mc3_18), ("resnet18", torchvision.models.resnet18)):
        found = run_model(recipes.load(small, (f"backbone.model={name}",))).to_document()["backbone"]
        network = build(weights=None)
        network.fc = torch.nn.Identity()
        assert (found["model"], found["parameters"]) == (name, sum(p.numel() for p in network.parameters()))
    less = ("backbone.global_layer=layer2", "backbone.local_layer=layer1")
    shorter = run_model(recipes.load(small, ("backbone.model=resnet18", *less))).to_document()["backbone"]
    assert 0 < shorter["parameters"] < found["parameters"] and 0 < shorter["flops"] < found["flops"]
    monkeypatch.syspath_prepend(tmp_path)
    source = "import torch\nclass One(torch.nn.Conv2d):\n    def forward(self, clips):\n"
    source += "        found = super().forward(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])\n"
    (tmp_path / "own_of_model.py").write_text(
        f"{source}        return {{'a': found}}\nbuild = lambda size: One(3, 5, 4, 4)\n"
    )
    own = ("backbone.model=own_of_model:build", "backbone.global_layer=a", "backbone.local_layer=a")
    found = run_model(recipes.load(small, (*own, "backbone.weights=random"))).to_document()["backbone"]
    assert found["layers"]["local_map"] == {"layer": "a", "channels": 5, "side": 8}
    assert (found["parameters"], found["flops"]) == (3 * 5 * 4 * 4 + 5, 16 * 2 * 8 * 8 * 5 * 3 * 4 * 4)
    joints = ("tokens.form=heatmap", "model.modalities=joint")
    assert run_model(recipes.load(small, joints)).to_document()["backbone"] is None
    words = [word for setting in joints for word in ("--set", setting)]
    assert star("model", small, *words).startswith("backbone: none; joints alone are read\n")


def test_model_says_what_training_takes(small: Path) -> None:
    """Steps and FLOPs as training does them; memory that grows with the batch, and with a moment more of AdamW."""
    base = run_model(recipes.load(small, ("train.batch=2", "train.epochs=3"))).to_document()
    found, total = base["training"], base["modules"][-1]
    assert found["steps"] == 3 * -(-found["videos"] // 2)
    assert found["flops_per_step"] == 6 * total["flops"]
    more = run_model(recipes.load(small, ("train.batch=4", "train.epochs=3"))).to_document()["training"]
    adam = run_model(recipes.load(small, ("train.batch=2", "train.optimizer=adamw"))).to_document()["training"]
    assert more["memory_bytes"] - found["memory_bytes"] > 4 * sum(map(math.prod, base["arrays"].values()))
    assert adam["memory_bytes"] - found["memory_bytes"] == 4 * total["parameters"]


def test_what_a_step_keeps_is_what_torch_saves() -> None:
    """The fake run's bytes are those of a real one."""
    import torch
    from torch.autograd.graph import saved_tensors_hooks

    from star.stages.transformer import STARTransformer
    from star.stages.transformer.flops import activation_bytes

    shape = {"grid_channels": 8, "grid_cells": 4, "joint_channels": 6, "joints": 3, "frames": 4}
    network = STARTransformer(classes=3, width=16, heads=2, encoder_layers=1, decoder_layers=1, **shape)
    kept: list[torch.Tensor] = []
    with saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x), torch.autocast("cpu", torch.bfloat16):
        network.train()(**network.example())
    weights = {parameter.data_ptr() for parameter in network.parameters()}
    sizes = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in kept}
    assert activation_bytes(network) == sum(size for place, size in sizes.items() if place not in weights)


def test_zigzag_and_binary_attention_cost_half_of_full_attention(small: Path) -> None:
    """In every layer but the last of all, in whose last module only the class tokens ask."""
    found = run_model(recipes.load(small, ("model.encoder_layers=2", "model.decoder_layers=2"))).to_document()
    attention = {row["module"]: row["attention"] for row in found["modules"]}
    for full, half in (("encoder.0.F", "encoder.0.Z"), ("encoder.1.F", "encoder.1.Z"), ("decoder.0.F", "decoder.0.B")):
        assert 2 * attention[half] == attention[full] > 0


@pytest.mark.parametrize("form", ["map", "heatmap", "concat_conv"])
def test_export_gives_the_logits_of_the_run(form: str, small: Path, tmp_path: Path) -> None:
    """onnxruntime on the exported file against the network in PyTorch, on random arrays, for any number of clips."""
    runtime = pytest.importorskip("onnxruntime")
    import torch

    from star.pipeline.training.model_factory import load

    over = ("--set", f"tokens.form={form}")
    run, file = tmp_path / "run", tmp_path / "star.onnx"
    star("extract", small, *over, "--device", "cpu", "-q")
    star("train", small, *over, "--run", run, "--device", "cpu", "-q")
    document = json.loads(star("export", "--run", run, "-o", file, "--json"))
    random = np.random.default_rng(0)
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    network, _ = load(run, "best")
    for clips in (1, 3):
        arrays = {name: random.random((clips, *shape), np.float32) for name, shape in document["inputs"].items()}
        (logits,) = session.run(["logits"], arrays)
        with torch.no_grad():
            expected = network(**{name: torch.from_numpy(array) for name, array in arrays.items()}).numpy()
        np.testing.assert_allclose(logits, expected, atol=1e-4)
