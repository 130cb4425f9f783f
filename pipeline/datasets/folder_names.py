"""What the name of a folder or file says of it: a part of the split, a kind of media, a shadow that holds no video."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ...stages.readers.base import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from ...untrusted_files import UntrustedFile, open_file

SPLITS = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test", "tests": "test",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "eval": "val", "evaluation": "val",
    "dev": "val", "development": "val",
}  # fmt: skip
# What says a part of the split only where all folders beside it do: too short, or words of other languages.
ALONE = {
    "tr": "train", "trn": "train", "te": "test", "ts": "test", "tst": "test", "va": "val", "vl": "val",
    "训练": "train", "训练集": "train", "测试": "test", "测试集": "test", "验证": "val", "验证集": "val",
    "entrenamiento": "train", "prueba": "test", "pruebas": "test", "validacion": "val", "validación": "val",
    "entrainement": "train", "entraînement": "train", "apprentissage": "train", "treino": "train", "teste": "test",
}  # fmt: skip
FOLD = re.compile(r"(?:fold|split|part|batch|set|subset|cv)[ _-]?\d+", re.IGNORECASE)
_MEDIA = (
    "video videos clip clips film films movie movies media raw rawvideo rawvideos avi mp4 frame frames rawframe "
    "rawframes image images img imgs picture pictures jpg jpgs jpeg jpegs png pngs rgb"
)
MEDIA = frozenset(_MEDIA.split())  # folders that part a data set by what its files are, not by what they show
_PLAIN = MEDIA | frozenset(("data", "dataset", "set", "split", "part", "files", "samples"))
_GLUED = re.compile(r"^(train|training|test|testing|val|valid|validation)(?:sets?|splits?|data|videos?|clips|frames)$")

# What network disks, photo managers and archivers put beside the files of their users.
SHADOWS = frozenset(
    ("@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "__macosx", "lost+found",
     "recycled", "recycler", "appledouble", ".appledouble")
)  # fmt: skip
THUMBNAILS = frozenset(
    ("thumbnail", "thumbnails", "thumb", "thumbs", "_thumbs", "_thumbnails", "preview", "previews", "contactsheets")
)

# Endings of what lies beside videos and is none. What has another ending is looked at.
_DOCUMENTS = (
    ".txt .md .rst .csv .tsv .json .jsonl .xml .yaml .yml .toml .ini .cfg .log .html .htm .pdf .doc .docx .xls .xlsx "
    ".odt .npz .npy .mat .pkl .pickle .pt .pth .h5 .hdf5 .parquet .skeleton .bvh .c3d .trc .srt .vtt .ass .ssa .sub "
    ".idx .nfo .md5 .sha1 .sha256 .py .ipynb .m .sh .bat .db .sqlite .lnk .url .zip .tar .gz .tgz .bz2 .xz .7z .rar"
)
_SOUNDS = ".mp3 .m4a .wav .ogg .oga .opus .flac .aac .wma .mka .weba .aiff .aif .ac3 .amr .mid .midi"
BESIDE = frozenset((*_DOCUMENTS.split(), *_SOUNDS.split(), *IMAGE_SUFFIXES))


def split_of_name(name: str) -> str:
    """The part of a split that a folder's name says, in any usual spelling: "train", "test", "val"; "" for none."""
    words = re.findall(r"[a-z]+", name.lower())
    words = [found[1] if (found := _GLUED.match(word)) else word for word in words]
    parts = {SPLITS[word] for word in words if word in SPLITS}
    return parts.pop() if len(parts) == 1 and all(word in SPLITS or word in _PLAIN for word in words) else ""


def parts_of(names: Sequence[str]) -> dict[str, str]:
    """The folders among some beside each other that are parts of a split, each with its part."""
    parts = {name: part for name in names if (part := split_of_name(name))}
    plain = {name: unicodedata.normalize("NFC", name).lower() for name in names}
    if not parts and all(one in ALONE for one in plain.values()) and len({ALONE[one] for one in plain.values()}) > 1:
        return {name: ALONE[one] for name, one in plain.items()}
    return parts


def are_folds(names: Sequence[str]) -> bool:
    """Whether folders are numbered parts of a data set, by their names: nothing says which is for training."""
    return len(names) > 1 and all(FOLD.fullmatch(name) for name in names)


def is_shadow(name: str) -> bool:
    """Whether a folder of this name is a system's own, in which no user keeps videos."""
    return name.lower() in SHADOWS


def is_thumbnails(name: str) -> bool:
    """Whether a folder of this name holds small pictures of the videos around it."""
    return name.lower() in THUMBNAILS


def ending(name: str) -> str:
    """The ending of a file's name with its dot, in small letters."""
    return name[name.rfind(".") :].lower() if "." in name else ""


def is_film(path: Path) -> bool:
    """Whether a regular file is a video's: by its ending, or else by its first bytes."""
    if ending(path.name) in VIDEO_SUFFIXES:
        return True
    if is_beside(path.name):
        return False
    try:
        with open_file(path) as file:
            head = file.read(577)
    except (OSError, UntrustedFile):
        return False
    return (  # the first bytes of a container that holds pictures
        head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"skip", b"free", b"pnot")  # MP4, MOV, 3GP
        or head.startswith(_HEADS)
        or (head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"CDXA", b"AMV "))
        or (head[:4] == b"RF64" and head[8:12] == b"AVI ")
        or any(head[at : at + 1] == head[at + step : at + step + 1] == head[at + 2 * step : at + 2 * step + 1] == b"G"
               for at, step in ((0, 188), (4, 192), (0, 204)))  # MPEG-TS, M2TS
    )  # fmt: skip


def is_beside(name: str) -> bool:
    """Whether a file's ending says that it is a document, a picture or sound."""
    return ending(name) in BESIDE


_HEADS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM
    b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3",  # MPEG program and video streams
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF, WMV
    b"OggS",
    b"GIF87a", b"GIF89a",
    b".RMF",
    b"nut/multimedia container",
    b"DKIF",  # IVF
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01",  # MXF
    b"\x1f\x07\x00",  # DV
    b"\xb7\xd8\x00\x20\x37\x49\xda\x11",  # WTV
    b"YUV4MPEG2",
)  # fmt: skip
