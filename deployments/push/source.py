"""Whose photos these are: each folder is a source of its own in the event, whatever it is called.

Two cards mounted at the same place have different sources, so neither ever replaces or deletes
the other's `DCIM/IMG_001.jpg`.
"""

import contextlib
import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.push.names import compose, shorten
from models.errors import PushRefusedError

MARKER = ".facepass-push.json"
MAX_LABEL_BYTES = 100
# Eight hex digits: of four, a hundred cards called DCIM would have two alike in 7 of 100 events.
ID_BYTES = 4


@dataclass(frozen=True)
class Source:
    """The folder's name in S3. `called_before`: what the folder was called at its first push."""

    name: str
    called_before: str | None = None


def find_source(folder: Path, name: str | None) -> Source:
    """The folder's source: `name` if given, else as its marker says, which the first push writes.

    Raises PushRefusedError.
    """
    if name is not None:
        return Source(_check_name(name))
    if not (folder / MARKER).exists():
        _write_marker(folder, {"id": secrets.token_hex(ID_BYTES), "label": label_folder(folder)})
    marker = _read_marker(folder)
    renamed = marker["label"] != label_folder(folder)
    return Source(f"{marker['label']}-{marker['id']}", marker["label"] if renamed else None)


def label_folder(folder: Path) -> str:
    """A folder's name as a part of a key."""
    printable = "".join(c if c.isprintable() else "_" for c in compose(folder.name))
    return shorten(printable, MAX_LABEL_BYTES) or "photos"


def _check_name(name: str) -> str:
    composed = compose(name.strip())
    fits = 0 < len(composed.encode("utf-8", "replace")) <= MAX_LABEL_BYTES
    if not fits or "/" in composed or composed in {".", ".."} or not composed.isprintable():
        raise PushRefusedError(
            f"--source must be one short name without slashes, such as camera-2; not {name!r}."
        )
    return composed


def _read_marker(folder: Path) -> dict[str, str]:
    try:
        found: Any = json.loads((folder / MARKER).read_text("utf-8"))
        marker = {"id": str(found["id"]), "label": str(found["label"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _explain_damage(folder) from error
    if not re.fullmatch(r"[0-9a-f]{4,32}", marker["id"]) or "/" in marker["label"]:
        raise _explain_damage(folder)
    return marker


def _explain_damage(folder: Path) -> PushRefusedError:
    return PushRefusedError(
        f"{folder / MARKER} is damaged: give the folder's name in the event as --source NAME, "
        "or delete that file to push the folder as a new one, beside what it sent before."
    )


def _write_marker(folder: Path, marker: dict[str, str]) -> None:
    """Whole or not at all; of two pushes that begin at once both take the same one."""
    new = folder / f"{MARKER}.{secrets.token_hex(4)}"
    try:
        new.write_text(json.dumps(marker, ensure_ascii=False) + "\n", "utf-8")
        try:
            os.link(new, folder / MARKER)
        except FileExistsError:
            pass  # another push was quicker
        except OSError:  # cards' file systems know no links
            new.replace(folder / MARKER)
    except OSError as error:
        raise PushRefusedError(
            f"{folder} cannot be written to ({error.strerror}), so it cannot be told from other "
            "folders: name it with --source NAME, a name of its own in this event."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
