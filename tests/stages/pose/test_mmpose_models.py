"""mmpose's models by their official names."""

from __future__ import annotations

import pytest
import torch

from star.errors import MissingPackage, RecipeError
from star.stages.pose import mmpose_models

RTMPOSE = "rtmpose-t_8xb256-420e_coco-256x192"
HEATMAP = "td-hm_mobilenetv2_8xb64-210e_coco-256x192"


def test_addresses_come_from_the_metafiles():
    """The official weights of RTMPose and of heat-map networks, the name that appears twice included."""
    base = "https://download.openmmlab.com/mmpose/v1"
    assert mmpose_models.weights_url("rtmpose-m_8xb256-420e_coco-256x192") == (
        f"{base}/projects/rtmposev1/rtmpose-m_simcc-coco_pt-aic-coco_420e-256x192-d8dd5ca4_20230127.pth"
    )
    assert mmpose_models.weights_url(RTMPOSE) == (
        f"{base}/projects/rtmposev1/rtmpose-tiny_simcc-coco_pt-aic-coco_420e-256x192-e613ba3f_20230127.pth"
    )
    assert mmpose_models.weights_url("td-hm_hrnet-w32_8xb64-210e_coco-256x192") == (
        f"{base}/body_2d_keypoint/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192-81c58e40_20220909.pth"
    )
    assert mmpose_models.weights_url("td-hm_vipnas-mbv3_8xb64-210e_coco-256x192").startswith("https://")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "rtmpose-m_8xb256_coco-256x192",
            "mmpose has no model 'rtmpose-m_8xb256_coco-256x192'; the closest are rtmpose-m_8xb256-420e_coco-256x192, "
            "rtmpose-t_8xb256-420e_coco-256x192, rtmpose-s_8xb256-420e_coco-256x192",
        ),
        ("../../evil.py", "mmpose has no model '../../evil.py'; the closest are none"),
        ("rtmo-s_8xb32-600e_coco-640x640", "rtmo-s_8xb32-600e_coco-640x640 is not a top-down network; "
         "rtmpose-… and td-hm_… are"),
    ],
)  # fmt: skip
def test_names_that_cannot_be_used_are_one_line(name: str, said: str):
    """An unknown name comes with the closest ones; a path is no name; other kinds of network are refused."""
    with pytest.raises(RecipeError) as caught:
        mmpose_models.model_spec(name)
    assert str(caught.value) == f"pose.model: {said}"


def test_models_without_weights_or_parts_say_so():
    """No published weights; a backbone that another package registers."""
    name = "cspnext-l_udp_8xb64-210e_coco-wholebody-256x192"
    with pytest.raises(RecipeError) as caught:
        mmpose_models.weights_url(name)
    assert str(caught.value) == f"pose.checkpoint: mmpose publishes no weights of {name}; give a file, or random"
    name = "td-hm_ViTPose-small_8xb64-210e_coco-256x192"
    with pytest.raises(MissingPackage) as caught:
        mmpose_models.build(name)
    assert str(caught.value) == (
        f"pose.model: {name}: mmpretrain.VisionTransformer is not in the mmpose::model registry; choose another model"
    )


def test_skeleton_is_that_of_the_data_set():
    """COCO's 17 joints, their mirror images and limbs; a data set with 26 and one given by class only."""
    coco = mmpose_models.model_spec(RTMPOSE).skeleton
    assert coco.name == "coco"
    assert coco.joints[:3] == ("nose", "left_eye", "right_eye")
    assert coco.flip_pairs == tuple((left, left + 1) for left in range(1, 17, 2))
    assert len(coco.limbs) == 19
    assert (5, 7) in coco.limbs
    assert all(coco.joints[right] == coco.joints[left].replace("left", "right") for left, right in coco.flip_pairs)
    assert len(mmpose_models.model_spec("rtmpose-m_8xb512-700e_body8-halpe26-256x192").skeleton.joints) == 26


@pytest.mark.parametrize("name", [RTMPOSE, HEATMAP])
def test_random_weights_are_a_function_of_the_seed(name: str):
    """Same seed, same weights; another seed, others; torch's own random numbers are not disturbed, nor is stdout."""
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, third = (mmpose_models.build(name, seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], third[key]) for key in first)


def test_building_is_silent(capfd: pytest.CaptureFixture[str]):
    """mmengine's remarks on every parameter stay out of stdout, where a JSON document may be."""
    mmpose_models.build(RTMPOSE)
    assert capfd.readouterr().out == ""
