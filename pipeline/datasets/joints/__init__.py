"""Joints without videos: a pickle, or a folder of files of joints."""
