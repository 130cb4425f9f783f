"""Augmentation of cached tokens: it does what it says, and nothing else."""

import numpy as np
import pytest
import torch
from torch.nn.functional import affine_grid, grid_sample

from star.errors import RecipeError
from star.pipeline.recipe import schema as recipes
from star.pipeline.training.augmentation import augment, check, map_side, mixup, resampling

SIDE, B, T, N = 8, 5, 4, 3


def moved(batch, size=B, picks=None, seed=7, **asked):
    """`batch` augmented as `asked`, with the numbers of this seed."""
    picks = np.arange(B) if picks is None else picks
    return augment(batch, recipes.AugmentSettings(**asked), SIDE, np.random.default_rng(seed), size, picks)


@pytest.fixture
def batch():
    """Tokens of all kinds; joint n of a clip is a dot at (2 + n, 3)."""
    torch.manual_seed(0)
    maps = torch.zeros(B, T, N, SIDE, SIDE)
    for n in range(N):
        maps[:, :, n, 3, 2 + n] = 1
    return {"global_grid": torch.rand(B, T, 6, 2, 2), "joint_map": maps.flatten(3), "label": torch.arange(B)}


def centres(joint_map):
    """(b, t, n, 2): x and y of the centre of each joint's map."""
    maps = joint_map.unflatten(-1, (SIDE, SIDE)).double()
    cells, mass = torch.arange(SIDE, dtype=torch.float64), maps.sum((-2, -1))
    return torch.stack([(maps.sum(-2) * cells).sum(-1) / mass, (maps.sum(-1) * cells).sum(-1) / mass], -1)


def test_a_dropped_grid_token_is_what_standardising_makes_zero(batch):
    """Cells of the grid are dropped to the value given for each channel, joints to zero; the rest stays."""
    blank = torch.arange(6.0) + 10
    random = np.random.default_rng(0)
    found = augment(batch, recipes.AugmentSettings(token_dropout=0.4), SIDE, random, B, np.arange(B), blank)
    dropped = (found["global_grid"] == blank[:, None, None]).all(2, keepdim=True).expand(B, T, 6, 2, 2)
    assert 0.2 < dropped.float().mean() < 0.6
    assert torch.equal(found["global_grid"][~dropped], batch["global_grid"][~dropped])
    gone = (found["joint_map"] == 0).all(-1)
    assert gone.any()
    assert torch.equal(found["joint_map"][~gone], batch["joint_map"][~gone])


def test_nothing_asked_changes_nothing(batch):
    """The defaults leave every number alone."""
    assert all(torch.equal(got, batch[name]) for name, got in moved(batch).items())


@pytest.mark.parametrize("axes", [1, 2])
def test_resampling_is_grid_sample(axes):
    """The two products are torch's bilinear sampling along an affine grid, zeros outside."""
    torch.manual_seed(1)
    maps, zoom, shift = torch.rand(6, 1, SIDE, SIDE), torch.rand(6, axes) * 0.8 + 0.6, torch.randn(6, 2) * 2
    theta = torch.zeros(6, 2, 3)
    theta[:, [0, 1], [0, 1]] = 1 / zoom
    theta[:, :, 2] = -shift / zoom * 2 / SIDE
    sampled = grid_sample(maps, affine_grid(theta, [6, 1, SIDE, SIDE], align_corners=False), align_corners=False)
    down, across = resampling(zoom.double(), shift.double(), SIDE)
    torch.testing.assert_close(down[:, None] @ maps @ across[:, None].mT, sampled, atol=1e-5, rtol=0)


def test_whole_cells_are_shifted_exactly():
    """A shift by (2, 1) cells moves a map two to the right and one down, and loses what leaves it."""
    map_ = torch.arange(64.0).reshape(8, 8)
    down, across = resampling(torch.ones(1, dtype=torch.float64), torch.tensor([2.0, 1.0], dtype=torch.float64), 8)
    expected = torch.zeros(8, 8)
    expected[1:, 2:] = map_[:-1, :-2]
    assert torch.equal(down @ map_ @ across.mT, expected)


def test_joints_of_a_clip_move_together(batch):
    """Shift moves all frames and joints of a clip alike and each clip by itself; the grid stays."""
    found = moved(batch, shift=0.2)
    way = centres(found["joint_map"]) - centres(batch["joint_map"])
    torch.testing.assert_close(way, way[:, :1, :1].expand_as(way), atol=1e-4, rtol=0)
    assert len({tuple(row) for row in way[:, 0, 0].tolist()}) == B
    assert way.abs().max() <= 0.2 * SIDE
    assert torch.equal(found["global_grid"], batch["global_grid"])
    assert torch.equal(found["label"], batch["label"])


def test_stretch_widens_by_what_it_flattens():
    """Stretch multiplies widths and divides heights of a clip by one factor, so areas stay; clips differ."""
    bells = [torch.exp(-((torch.arange(SIDE) - at) ** 2)) for at in (2.5, 4.5)]
    maps = torch.stack([bell[:, None] * bell for bell in bells]).flatten(1).expand(B, T, 2, -1)
    where = centres(moved({"joint_map": maps}, stretch=0.3)["joint_map"])
    wide, high = (where[:, :, 1] - where[:, :, 0]).unbind(-1)
    torch.testing.assert_close(wide * high, torch.full((B, T), 4.0, dtype=torch.float64), atol=0.4, rtol=0)
    assert (wide / high).max() < 1.35
    assert (wide / high - 1).abs().amax(1).min() > 0.005
    assert len({round(ratio, 6) for ratio in (wide / high)[:, 0].tolist()}) == B


def test_scale_is_about_the_centre(batch):
    """Scale stretches the distances between a clip's joints by one factor."""
    found = moved(batch, scale=0.3)
    x = centres(found["joint_map"])[..., 0]
    stretch = x[..., 2] - x[..., 0]
    torch.testing.assert_close(stretch, stretch[:, :1].expand_as(stretch), atol=0.05, rtol=0)
    assert ((stretch / 2 - 1).abs() < 0.36).all()
    assert stretch[:, 0].std() > 0.05


def test_jitter_moves_each_joint_by_itself(batch):
    """With jitter, joints and frames of one clip go different ways."""
    way = centres(moved(batch, joint_jitter=0.3)["joint_map"]) - centres(batch["joint_map"])
    assert way[0].reshape(-1, 2).std(0).min() > 0.1
    assert way.abs().max() < 1.5


def test_pooled_channels_stay(batch):
    """pool_map: only the flattened map behind the pooled channels is moved."""
    joined = torch.cat([torch.rand(B, T, N, 5), batch["joint_map"]], -1)
    found = moved({"joint_map": joined}, shift=0.2)["joint_map"]
    assert torch.equal(found[..., :5], joined[..., :5])
    assert torch.equal(found[..., 5:], moved(batch, shift=0.2)["joint_map"])


def test_local_map_moves_with_the_heat_maps(batch):
    """concat_conv: local map and heat maps keep their registration."""
    heat = batch["joint_map"].unflatten(-1, (SIDE, SIDE))
    found = moved({"joint_heatmap": heat, "local_map": heat.clone()}, shift=0.2, scale=0.1)
    assert torch.equal(found["joint_heatmap"], found["local_map"])
    assert not torch.equal(found["local_map"], heat)


def test_joint_dropout_takes_a_joint_for_the_whole_clip(batch):
    """A dropped joint is gone in every frame, and the share is the one asked for."""
    shape = (400, T, N, SIDE * SIDE)
    found = moved({"joint_map": torch.ones(shape)}, size=400, picks=np.arange(400), joint_dropout=0.25)["joint_map"]
    gone = (found == 0).all(-1)
    assert torch.equal(gone.any(1), gone.all(1))
    assert 0.2 < gone.float().mean() < 0.3
    assert torch.equal(moved(batch, joint_dropout=0.25)["global_grid"], batch["global_grid"])


def test_token_dropout_takes_single_tokens():
    """Cells and joints go frame by frame, with all their channels."""
    batch = {"global_grid": torch.ones(200, T, 6, 2, 2), "joint_map": torch.ones(200, T, N, SIDE * SIDE)}
    found = moved(batch, size=200, picks=np.arange(200), token_dropout=0.4)
    for gone, whole in (
        ((found["global_grid"] == 0).any(2), (found["global_grid"] == 0).all(2)),
        ((found["joint_map"] == 0).any(-1), (found["joint_map"] == 0).all(-1)),
    ):
        assert torch.equal(gone, whole)
        assert 0.35 < gone.float().mean() < 0.45
        assert (gone.float().std(1) > 0).any()


def test_a_part_of_a_batch_gets_the_same_numbers(batch):
    """What a clip becomes does not depend on which process computes it."""
    asked = {"shift": 0.1, "scale": 0.1, "joint_jitter": 0.2, "joint_dropout": 0.3, "token_dropout": 0.2}
    whole = moved(batch, **asked)
    picks = np.array([1, 3])
    part = moved({name: tensor[picks] for name, tensor in batch.items()}, picks=picks, **asked)
    for name, got in part.items():
        torch.testing.assert_close(got, whole[name][picks], atol=1e-6, rtol=0)


def test_half_precision_stays(batch):
    """Stored types are kept: what is read as float16 is augmented as float16."""
    assert moved({"joint_map": batch["joint_map"].half()}, shift=0.1)["joint_map"].dtype == torch.float16


def test_mixup_blends_arrays_and_targets_alike(batch):
    """Zhang et al.: one share for a batch, the same for inputs and targets; labels stay."""
    targets = torch.eye(B)
    share, partner = 0.3, np.random.default_rng(3).permutation(B)
    found, blended = mixup(batch, targets, partner, share)
    for name in ("global_grid", "joint_map"):
        torch.testing.assert_close(found[name], share * batch[name] + (1 - share) * batch[name][partner])
    torch.testing.assert_close(blended, share * targets + (1 - share) * targets[partner])
    assert torch.equal(found["label"], batch["label"])


def test_settings_that_would_do_nothing_are_refused(toy):
    """pool tokens have no map to move, and a bare grid no joints."""
    assert map_side(toy.recipe()) == 8
    for overrides, message in (
        (
            ("tokens.form=pool", "train.augment.scale=0.1"),
            "train.augment.scale: tokens.form: pool has no joint maps to move; set it to 0",
        ),
        (
            ("model.modalities=global", "train.augment.joint_jitter=1"),
            "train.augment.joint_jitter: model.modalities: global has no joint maps to move; set it to 0",
        ),
        (
            ("model.modalities=global", "train.augment.joint_dropout=0.1"),
            "train.augment.joint_dropout: model.modalities: global has no joints to drop; set it to 0",
        ),
    ):
        with pytest.raises(RecipeError) as error:
            check(toy.recipe(*overrides))
        assert str(error.value) == message


def test_rotation_turns_joints_about_the_centre():
    """Joints keep their distances from the map's centre and all turn by one angle, which differs from clip to clip."""
    torch.manual_seed(0)
    cells = torch.arange(28) - 13.5
    at = torch.tensor([[4.0, 0.0], [0.0, -5.0], [-3.0, 3.0]])
    bells = torch.exp(-((cells - at[:, :1]) ** 2) / 2)[:, None] * torch.exp(-((cells - at[:, 1:]) ** 2) / 2)[..., None]
    given = {"joint_map": bells.flatten(1).expand(B, T, 3, -1)}
    found = augment(given, recipes.AugmentSettings(rotation=40), 28, np.random.default_rng(3), B, np.arange(B))[
        "joint_map"
    ]
    maps = found.unflatten(-1, (28, 28))
    mass = maps.sum((-2, -1))
    x, y = (maps.sum(-2) @ cells) / mass, (maps.sum(-1) @ cells) / mass
    torch.testing.assert_close(torch.hypot(x, y), at.norm(dim=1).expand(B, T, 3), atol=0.02, rtol=0)
    angles = torch.rad2deg(torch.atan2(y, x) - torch.atan2(at[:, 1], at[:, 0]))
    angles = (angles + 180) % 360 - 180
    torch.testing.assert_close(angles, angles[:, :1, :1].expand_as(angles), atol=0.3, rtol=0)
    assert angles.abs().max() <= 40.1
    assert angles[:, 0, 0].std() > 10


def test_rotation_leaves_absent_joints_absent(batch):
    """A map of zeros stays one, and nothing becomes NaN."""
    batch["joint_map"][:, :, 1] = 0
    found = moved(batch, rotation=30)["joint_map"]
    assert not found[:, :, 1].any()
    assert found.isfinite().all()
    assert found[:, :, 0].any()


def test_rotation_is_refused_where_the_local_map_would_stay():
    """concat_conv reads joint and local map together."""
    recipe = recipes.parse(
        "dataset: {kind: videos, root: a}\ncache: {root: b}\ntokens: {form: concat_conv}\n"
        "train: {augment: {rotation: 10}}\n"
    )
    with pytest.raises(RecipeError) as error:
        check(recipe)
    assert str(error.value) == (
        "train.augment.rotation: tokens.form: concat_conv reads the local map, which is not turned; set it to 0"
    )
