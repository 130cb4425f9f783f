"""What `star scan` found, as JSON and as a table for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ..datasets.base import Video
from ..utils.text import clock, counted, table
from .scan import Scan, sides
from .scan_task import Finding, Look

SHOWN = 20  # findings of a kind that a person is shown
CLASSES = 40  # classes that the table has rows for


def document(result: Scan) -> dict[str, Any]:
    """The scan as JSON: figures per split, class and group, and every finding."""
    listed = result.manifest
    counts = Counter((video.label, video.split) for video in listed.videos)
    return {
        "data": listed.name,
        "videos": len(listed.videos),
        **_understood(result),
        "splits": [_split(result, split) for split in ("train", "test")],
        "classes": [
            {"class": name, "train": counts[label, "train"], "test": counts[label, "test"]}
            for label, name in enumerate(listed.classes)
        ],
        "groups": [
            {"group": kind, "values": count, "both_sides": both} for kind, (count, both) in sides(listed).items()
        ],
        "findings": [finding._asdict() for finding in result.findings],
        "failing": len({finding.video for finding in result.findings if finding.level == "fails"}),
    }


def _understood(result: Scan) -> dict[str, Any]:
    """What files of joints without videos were taken for; nothing where there are videos."""
    looks = [look for look in result.looks.values() if look.format]
    if not looks:
        return {}
    skeleton = result.manifest.skeleton
    understood = {
        "formats": sorted({look.format for look in looks}),
        "layout": skeleton.name if skeleton else None,
        "joints": len(skeleton.joints) if skeleton else 0,
        "people": max(look.people for look in looks),
        "dimensions": sorted({look.dimensions for look in looks}),
    }
    return {"understood": understood}


def _split(result: Scan, split: str) -> dict[str, Any]:
    pairs: list[tuple[Video, Look]] = [
        (video, result.looks[video.id]) for video in result.manifest.videos if video.split == split
    ]
    opened = [look for _, look in pairs if look.frames]
    lengths = [look.frames for look in opened]
    sizes = Counter("{}×{}".format(*look.size) for look in opened)
    joints = sum(look.joints for look in opened)
    return {
        "split": split,
        "videos": len(pairs),
        "opened": len(opened),
        "frames": sum(lengths),
        "shortest": min(lengths, default=0),
        "longest": max(lengths, default=0),
        "seconds": round(sum(look.seconds for look in opened), 2),
        "sizes": dict(sizes.most_common()),
        "joints": joints,
        "joints_outside": round(sum(look.outside for look in opened) / joints, 5) if joints else None,
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The document for a person: two tables, the groups, and one line a finding."""
    return [
        f"{found['data']}: {counted(found['videos'], 'video')}, {len(found['classes'])} classes",
        *_understood_line(found.get("understood")),
        *_splits(found["splits"]),
        "",
        *_classes(found["classes"]),
        *_groups(found["groups"]),
        "",
        *_findings([Finding(**finding) for finding in found["findings"]]),
        _verdict(found),
    ]


def _understood_line(understood: dict[str, Any] | None) -> Iterator[str]:
    if understood:
        units = " and ".join("pixels" if count == 2 else "three dimensions" for count in understood["dimensions"])
        yield (
            f"joints: {', '.join(understood['formats'])}; layout {understood['layout']}, {understood['joints']} joints "
            f"in {units}, at most {understood['people']} at a time"
        )


def _splits(splits: Sequence[dict[str, Any]]) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("split", "videos", "opened", "frames", "shortest", "longest", "duration", "joints outside", "frame sizes")
    ]
    for row in splits:
        numbers = [f"{row[name]:,}" for name in ("videos", "opened", "frames", "shortest", "longest")]
        sizes = list(row["sizes"])
        outside = "" if row["joints_outside"] is None else f"{row['joints_outside']:.1%}"
        more = f" and {len(sizes) - 3} more" if len(sizes) > 3 else ""
        rows.append((row["split"], *numbers, clock(row["seconds"]), outside, ", ".join(sizes[:3]) + more))
    return table(rows)


def _classes(classes: Sequence[dict[str, Any]]) -> list[str]:
    """Every class that has a video, or the smallest where there are many."""
    filled = shown = [row for row in classes if row["train"] or row["test"]]
    if len(filled) > CLASSES:
        shown = sorted(filled, key=lambda row: min(row["train"], row["test"]))[:CLASSES]
    rows: list[tuple[str, ...]] = [("class", "train", "test", "")]
    rows += [(row["class"], f"{row['train']:,}", f"{row['test']:,}", "") for row in shown]
    rest = len(filled) - len(shown)
    return [*table(rows), *([f"and {rest} larger class{'es' * (rest > 1)}; --json has all"] if rest else [])]


def _groups(groups: Sequence[dict[str, Any]]) -> Iterator[str]:
    for row in groups:
        count, both = row["values"], len(row["both_sides"])
        where = "none" if not both else "all" if both == count else f"{both:,}"
        yield f"{row['group']}: {counted(count, 'value')}, {where} in both train and test"


def _findings(findings: Sequence[Finding]) -> Iterator[str]:
    """One line each, up to SHOWN of a kind."""
    done: Counter[tuple[str, str]] = Counter()
    total = Counter((finding.level, finding.kind) for finding in findings)
    for finding in findings:
        kind = (finding.level, finding.kind)
        done[kind] += 1
        if done[kind] <= SHOWN:
            yield f"{finding.level}: {finding.video}{': ' if finding.video else ''}{finding.message}"
        elif done[kind] == total[kind]:
            yield f"{finding.level}: {total[kind] - SHOWN:,} more like these [{finding.kind}]; --json lists all"


def _verdict(found: dict[str, Any]) -> str:
    levels = Counter(finding["level"] for finding in found["findings"])
    if not levels:
        return "all is well: every video can be opened, nothing looks wrong"
    failing = f"{counted(found['failing'], 'video')} would fail in `star extract`"
    return f"{failing}, {counted(levels['problem'], 'problem')}, {counted(levels['note'], 'note')}"
