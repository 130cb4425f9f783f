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
    """How many videos of a class are for training and for testing."""

    label: str
    train: int
    test: int


@dataclass(frozen=True)
class UnderstoodJoints:
    """What files of joints without videos were taken for. people: at most, at a time. dimensions: 2, 3 or both."""

    formats: tuple[str, ...]
    layout: str | None
    joints: int
    people: int
    dimensions: tuple[int, ...]

    def to_line(self) -> str:
        """For a person."""
        units = " and ".join("pixels" if count == 2 else "three dimensions" for count in self.dimensions)
        return (
            f"joints: {', '.join(self.formats)}; layout {self.layout}, {self.joints} joints in {units}, at most "
            f"{self.people} at a time"
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
        counts = Counter((video.label, video.split) for video in listed.videos)
        return tuple(
            ClassFigures(name, counts[label, "train"], counts[label, "test"])
            for label, name in enumerate(listed.classes)
        )

    @property
    def understood(self) -> UnderstoodJoints | None:
        """What files of joints were taken for; None where there are videos."""
        looks = [look for look in self.scan.looks.values() if look.format]
        if not looks:
            return None
        skeleton = self.scan.manifest.skeleton
        return UnderstoodJoints(
            tuple(sorted({look.format for look in looks})),
            skeleton.name if skeleton else None,
            len(skeleton.joints) if skeleton else 0,
            max(look.people for look in looks),
            tuple(sorted({look.dimensions for look in looks})),
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
            **({"understood": asdict(understood)} if understood else {}),
            "splits": [asdict(self.of_split(split)) for split in ("train", "test")],
            "classes": [{"class": row.label, "train": row.train, "test": row.test} for row in self.classes],
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
        shown = filled = [row for row in self.classes if row.train or row.test]
        if len(filled) > CLASSES:
            shown = sorted(filled, key=lambda row: min(row.train, row.test))[:CLASSES]
        classes, rest = [(row.label, f"{row.train:,}", f"{row.test:,}", "") for row in shown], len(filled) - len(shown)
        groups = []
        for kind, (count, both) in sides(listed).items():
            where = "none" if not both else "all" if len(both) == count else f"{len(both):,}"
            groups.append(f"{kind}: {counted(count, 'value')}, {where} in both train and test")
        verdict = f"{failing}, {counted(levels['problem'], 'problem')}, {counted(levels['note'], 'note')}"
        return [
            f"{listed.name}: {counted(len(listed.videos), 'video')}, {len(listed.classes)} classes",
            *([understood.to_line()] if understood else []),
            *table([head, self.of_split("train").cells(), self.of_split("test").cells()]),
            "",
            *table([("class", "train", "test", ""), *classes]),
            *([f"and {rest} larger class{'es' * (rest > 1)}; --json has all"] if rest else []),
            *groups,
            "",
            *self._finding_lines(),
            verdict if levels else "all is well: every video can be opened, nothing looks wrong",
        ]

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
