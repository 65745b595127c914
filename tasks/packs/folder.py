"""The folder of a model pack: functions that find its models, hash them and read its licence."""

import hashlib
import json
import textwrap
from functools import lru_cache
from pathlib import Path
from typing import Any


def find_models(folder: Path) -> Path | None:
    """The folder with the models: `folder`, or NAME inside it (antelopev2.zip is made so)."""
    for candidate in (folder, folder / folder.name):
        if any(candidate.glob("*.onnx")) or read_manifest(candidate):
            return candidate
    return None


def read_manifest(folder: Path) -> dict[str, Any]:
    """InsightFace's manifest V2 of the folder; empty when there is none that InsightFace reads."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if isinstance(manifest, dict) and manifest.get("manifest_version") == 2:
        return manifest
    return {}


def hash_models(folder: Path) -> str:
    """SHA-256 over the names and SHA-256 of all .onnx files and the manifest."""
    files = sorted([*folder.rglob("*.onnx"), *folder.glob("manifest.json")])
    lines = [f"{file.relative_to(folder).as_posix()} {hash_file_sha256(file)}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def hash_file_sha256(path: Path) -> str:
    """The file's SHA-256, computed once a process for a path, size and time of change."""
    stat = path.stat()
    return _hash_file_version(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _hash_file_version(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_licence(folder: Path) -> str | None:
    """The licence in one line, from MODEL.LICENSE; none when the folder does not say."""
    path = folder / "MODEL.LICENSE"
    text = path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
    if text.startswith("{"):  # a signed grant of InsightFace's
        from insightface.model_zoo.model_license import inspect_model_package_license

        return f"{inspect_model_package_license(folder).message} (InsightFace)"
    return text.splitlines()[0].strip() if text else None


def shorten_error(error: BaseException) -> str:
    """The error's cause as one short piece of text."""
    return textwrap.shorten(str(error) or type(error).__name__, 240, placeholder="…")
