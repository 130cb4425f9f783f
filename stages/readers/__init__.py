"""Readers of frames: one function per way to open a video, all giving the same pictures.

Nothing here is imported before a video is opened; av, cv2 and decord are needed only then.
"""
