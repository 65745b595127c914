"""Names of downloaded files: as the photographer gave them, safe on every system, each once."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

MAX_NAME_BYTES = 200  # file systems take 255; a number and .zip may be added
# What Windows or a shell would take for something else, and what turns text around.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\/:*?"<>|\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def clean_name(name: str) -> str:
    """A file's name that cannot leave its folder and that every system can store."""
    safe = _UNSAFE.sub("_", name).strip().strip(".").strip() or "photo"
    if _DEVICES.match(safe):
        safe = f"_{safe}"
    path = PurePosixPath(safe)
    suffix = path.suffix if len(path.suffix) <= 10 else ""
    stem = safe.removesuffix(suffix) if suffix else safe
    room = MAX_NAME_BYTES - len(suffix.encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip() + suffix


def name_files(names: Iterable[str]) -> list[str]:
    """A name a file, in order; the second `IMG_1.jpg` becomes `IMG_1 (2).jpg`.

    Upper and lower case are one: on Windows and macOS they would overwrite each other.
    """
    taken: set[str] = set()
    chosen = []
    for name in names:
        clean = clean_name(name)
        path, number = PurePosixPath(clean), 1
        while clean.casefold() in taken:
            number += 1
            clean = f"{path.stem} ({number}){path.suffix}"
        taken.add(clean.casefold())
        chosen.append(clean)
    return chosen
