"""What `star scan` found, as JSON and as a table for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..utils.text import clock, counted, table
from .scan import Scan, sides

SHOWN = 20  # findings of a kind that a person is shown
CLASSES = 40  # classes that the table has rows for
SPLITS = ("train", "val", "test")
UNITS = {2: "pixels", 3: "three dimensions, in units of pose.scale pixels"}  # by dimensions


@dataclass(frozen=True)
class SplitFigures:
    """The videos of one split.

    opened: how many could be. frames, shortest, longest: of these, together and each. sizes: "W×H" px -> how many have
    it. joints: annotated ones with a place; joints_outside: the share of them outside the frame, None without joints.
    """

    split: str
    videos: int
    opened: int
    frames: int
    shortest: int
    longest: int
    seconds: float
    sizes: Mapping[str, int]
    joints: int
    joints_outside: float | None

    def cells(self) -> tuple[str, ...]:
        """A row of the table for a person."""
        numbers = [f"{number:,}" for number in (self.videos, self.opened, self.frames, self.shortest, self.longest)]
        outside = "" if self.joints_outside is None else f"{self.joints_outside:.1%}"
        sizes = ", ".join([*self.sizes][:3]) + (f" and {len(self.sizes) - 3} more" if len(self.sizes) > 3 else "")
        return (self.split, *numbers, clock(self.seconds), outside, sizes)


@dataclass(frozen=True)
class ClassFigures:
    """How many videos of a class are for training, validation and testing."""

    label: str
    train: int
    val: int
    test: int


@dataclass(frozen=True)
class UnderstoodJoints:
    """What files of joints without videos were taken for.

    people: at most, at a time. frames: the fewest and the most. dimensions: 2, 3 or both; units: of their places.
    """

    formats: tuple[str, ...]
    layout: str | None
    joints: int
    people: int
    frames: tuple[int, int]
    dimensions: tuple[int, ...]
    units: tuple[str, ...]

    def to_line(self) -> str:
        """For a person."""
        first, last = self.frames
        frames = counted(first, "frame") if first == last else f"{first:,} to {last:,} frames"
        return (
            f"joints: {', '.join(self.formats)}; layout {self.layout}, {self.joints} joints in "
            f"{' and '.join(self.units)}, at most {self.people} at a time, {frames}"
        )


@dataclass(frozen=True)
class ScanReport:
    """A scan, and what it comes to."""

    scan: Scan

    @property
    def failing(self) -> int:
        """How many videos would fail in `star extract`."""
        return len({finding.video for finding in self.scan.findings if finding.level == "fails"})

    @property
    def exit_code(self) -> int:
        """3 where videos would fail in `star extract`."""
        return 3 if self.failing else 0

    @property
    def classes(self) -> tuple[ClassFigures, ...]:
        """Every class, by label."""
        listed = self.scan.manifest
        counts = Counter((label, video.split) for video in listed.videos for label in video.all_labels)
        return tuple(
            ClassFigures(name, *(counts[label, split] for split in SPLITS)) for label, name in enumerate(listed.classes)
        )

    @property
    def splits(self) -> list[str]:
        """Those that are shown: validation only where there is one."""
        val = any(video.split == "val" for video in self.scan.manifest.videos)
        return [split for split in SPLITS if split != "val" or val]

    @property
    def spans(self) -> tuple[int, int]:
        """How many clips are spans, and of how many videos."""
        paths = [video.path for video in self.scan.manifest.videos if video.span]
        return len(paths), len(set(paths))

    @property
    def understood(self) -> UnderstoodJoints | None:
        """What files of joints were taken for; None where there are videos."""
        looks = [look for look in self.scan.looks.values() if look.format]
        if not looks:
            return None
        skeleton = self.scan.manifest.skeleton
        frames, dimensions = [look.frames for look in looks], sorted({look.dimensions for look in looks})
        return UnderstoodJoints(
            tuple(sorted({look.format for look in looks})),
            skeleton.name if skeleton else None,
            len(skeleton.joints) if skeleton else 0,
            max(look.people for look in looks),
            (min(frames), max(frames)),
            tuple(dimensions),
            tuple(UNITS[count] for count in dimensions),
        )

    def of_split(self, split: str) -> SplitFigures:
        """The videos of one split."""
        looks = [self.scan.looks[video.id] for video in self.scan.manifest.videos if video.split == split]
        opened = [look for look in looks if look.frames]
        lengths = [look.frames for look in opened]
        sizes = Counter("{}×{}".format(*look.size) for look in opened)
        joints = sum(look.joints for look in opened)
        return SplitFigures(
            split,
            len(looks),
            len(opened),
            sum(lengths),
            min(lengths, default=0),
            max(lengths, default=0),
            round(sum(look.seconds for look in opened), 2),
            dict(sizes.most_common()),
            joints,
            round(sum(look.outside for look in opened) / joints, 5) if joints else None,
        )

    def to_document(self) -> dict[str, Any]:
        """As JSON: figures per split, class and group, and every finding."""
        listed, understood = self.scan.manifest, self.understood
        return {
            "data": listed.name,
            "videos": len(listed.videos),
            "spans": self.spans[0],
            "several_labels": sum(bool(video.labels) for video in listed.videos),
            **({"understood": asdict(understood)} if understood else {}),
            "splits": [asdict(self.of_split(split)) for split in self.splits],
            "classes": [
                {"class": row.label, **{split: getattr(row, split) for split in SPLITS}} for row in self.classes
            ],
            "groups": [
                {"group": kind, "values": count, "both_sides": both} for kind, (count, both) in sides(listed).items()
            ],
            "findings": [finding._asdict() for finding in self.scan.findings],
            "failing": self.failing,
        }

    def to_lines(self) -> list[str]:
        """For a person: two tables, the groups, one line per finding, and how many of them there are."""
        listed, understood = self.scan.manifest, self.understood
        head = "split", "videos", "opened", "frames", "shortest", "longest", "duration", "joints outside", "frame sizes"
        levels = Counter(finding.level for finding in self.scan.findings)
        failing = f"{counted(self.failing, 'video')} would fail in `star extract`"
        shown = filled = [row for row in self.classes if row.train or row.val or row.test]
        if len(filled) > CLASSES:
            shown = sorted(filled, key=lambda row: min(row.train, row.test))[:CLASSES]
        rest, rows = len(filled) - len(shown), [("class", *self.splits, "")]
        rows += [(row.label, *(f"{getattr(row, split):,}" for split in self.splits), "") for row in shown]
        groups = []
        for kind, (count, both) in sides(listed).items():
            where = "none" if not both else "all" if len(both) == count else f"{len(both):,}"
            groups.append(f"{kind}: {counted(count, 'value')}, {where} in both train and test")
        verdict = f"{failing}, {counted(levels['problem'], 'problem')}, {counted(levels['note'], 'note')}"
        return [
            f"{listed.name}: {self._counted()}, {self._classes_said()}",
            *([understood.to_line()] if understood else []),
            *table([head, *(self.of_split(split).cells() for split in self.splits)]),
            "",
            *(table(rows) if listed.classes else []),
            *([f"and {rest} larger class{'es' * (rest > 1)}; --json has all"] if rest else []),
            *groups,
            "",
            *self._finding_lines(),
            verdict if levels else "all is well: every video can be opened, nothing looks wrong",
        ]

    def _counted(self) -> str:
        """How many clips there are, and of how many videos where these are spans."""
        spans, videos = self.spans
        whole = len(self.scan.manifest.videos) - spans
        if not spans:
            return counted(whole, "video")
        rest = f" and {counted(whole, 'whole video')}" if whole else ""
        return f"{counted(spans, 'span')} of {counted(videos, 'video')}{rest}"

    def _classes_said(self) -> str:
        listed = self.scan.manifest
        if not listed.classes:
            return "without labels"
        several = sum(bool(video.labels) for video in listed.videos)
        return f"{len(listed.classes)} class{'es' * (len(listed.classes) != 1)}" + (
            f", {several:,} with several" if several else ""
        )

    def _finding_lines(self) -> Iterator[str]:
        """One line each, up to SHOWN of a kind."""
        done: Counter[tuple[str, str]] = Counter()
        total = Counter((finding.level, finding.kind) for finding in self.scan.findings)
        for finding in self.scan.findings:
            kind = (finding.level, finding.kind)
            done[kind] += 1
            if done[kind] <= SHOWN:
                yield f"{finding.level}: {finding.video}{': ' if finding.video else ''}{finding.message}"
            elif done[kind] == total[kind]:
                yield f"{finding.level}: {total[kind] - SHOWN:,} more like these [{finding.kind}]; --json lists all"
