"""Scores of a clip's joints with onnxruntime alone.

star export --run runs/joints --from joints -o joints.onnx      (a run on joints: tokens.form heatmap)
python onnx_scores.py joints.onnx keypoints.npy WIDTH HEIGHT    (keypoints: frames, people, joints, x y score; px)
"""

import json
import sys

import numpy as np
import onnxruntime

model, file, width, height = sys.argv[1:5]
session = onnxruntime.InferenceSession(model)
metadata = session.get_modelmeta().custom_metadata_map
classes, how = json.loads(metadata["classes"]), json.loads(metadata["preprocessing"])

joints = np.load(file).astype(np.float32)
count = how["frames"]["count"]  # the centres of as many equal parts of the clip (sampling "segments")
chosen = joints[(2 * np.arange(count) + 1) * len(joints) // (2 * count)]
frame_size = np.array([[width, height]], np.float32)
(scores,) = session.run(["scores"], {"keypoints": chosen[None], "frame_size": frame_size})

for place in np.argsort(-scores[0])[:5]:
    print(f"{scores[0, place]:.4f} {classes[place]}")
