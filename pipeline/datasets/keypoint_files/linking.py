"""People whom a file lists frame by frame without saying who is who: linked over time, as detections are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....stages.pose.tracking import Detections, build_tracks

SEEN = 2  # joints from which on a person has a box


def linked(frames: Sequence[np.ndarray], joints: int = 0) -> np.ndarray:
    """The people of every frame, each (k, N, 3) x px, y px, score, as one array (F, P, N, 3) in which a person keeps
    its place; whoever is seen longest comes first.

    joints: N where nobody is in any frame. Joints that are absent are all zero. A person with fewer than two joints is
    nobody.
    """
    joints = max((people.shape[1] for people in frames if people.size), default=joints)
    nobody = np.zeros((0, joints, 3))
    people = [frame[(frame[..., 2] > 0).sum(-1) >= SEEN] if frame.size else nobody for frame in frames]
    tracks = build_tracks([_detections(frame) for frame in people])
    order = sorted(range(len(tracks)), key=lambda track: -len(tracks[track]))
    found = np.zeros((len(frames), max(1, len(tracks)), joints, 3), np.float32)
    for place, track in enumerate(order):
        for frame, sighting in tracks[track].items():
            found[frame, place] = people[frame][sighting.number]
    there = np.asarray((found[..., 2] > 0).any(-1))  # (F, P)
    kept: list[int] = []  # who was lost and is found again is not somebody new: takes a place that is free by then
    for track in range(found.shape[1]):
        free = next((place for place in kept if not (there[:, place] & there[:, track]).any()), None)
        if free is None:
            kept.append(track)
        else:
            now = there[:, track]
            found[now, free] = found[now, track]
            there[:, free] |= now
    return found[:, kept]


def by_identity(frames: Sequence[np.ndarray], identities: Sequence[Sequence[int]]) -> np.ndarray:
    """The same where the file says who is who: one place (P) for each identity, in the order of their first frames."""
    places: dict[int, int] = {}
    for ids in identities:
        for identity in ids:
            places.setdefault(identity, len(places))
    joints = max((people.shape[1] for people in frames if people.size), default=0)
    found = np.zeros((len(frames), max(1, len(places)), joints, 3), np.float32)
    for frame, (people, ids) in enumerate(zip(frames, identities, strict=True)):
        for person, identity in zip(people, ids, strict=True):
            found[frame, places[identity]] = person
    return found


def _detections(people: np.ndarray) -> Detections:
    """Boxes around the joints that are there, and the mean of their scores."""
    seen = people[..., 2:] > 0
    low = np.where(seen, people[..., :2], np.inf).min(1) if len(people) else np.zeros((0, 2))
    high = np.where(seen, people[..., :2], -np.inf).max(1) if len(people) else np.zeros((0, 2))
    scores = people[..., 2].sum(-1) / np.maximum(seen[..., 0].sum(-1), 1)
    return Detections(np.concatenate([low, high], -1), scores)
