"""Joints of the people in a clip: detection, tracking, pose estimation."""
