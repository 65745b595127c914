"""The folder of a model pack: functions that find its models, hash them and read its licence."""

import hashlib
import json
import re
import tempfile
import textwrap
from functools import lru_cache
from pathlib import Path
from typing import Any

from models.errors import ModelPackError
from tasks.packs.figures import PackFigures, build_section, parse_figures

MANIFEST = "manifest.json"
SECTION = "facepass"  # of a manifest: the pack's figures
_SECTION_KEY = re.compile(rf',\s*"{SECTION}"\s*:\s*')


def find_models(folder: Path) -> Path | None:
    """The folder with the models: `folder`, or NAME inside it (antelopev2.zip is made so)."""
    for candidate in (folder, folder / folder.name):
        if any(candidate.glob("*.onnx")) or read_manifest(candidate):
            return candidate
    return None


def read_manifest(folder: Path) -> dict[str, Any]:
    """InsightFace's manifest V2 of the folder; empty when there is none that InsightFace reads."""
    manifest = _parse_object(_read_text(folder / MANIFEST))
    return manifest if manifest.get("manifest_version") == 2 else {}


def read_figures(folder: Path) -> PackFigures | None:
    """The figures in the folder's manifest, none without them. Raises ModelPackError."""
    manifest = _parse_object(_read_text(folder / MANIFEST))
    if SECTION not in manifest:
        return None
    try:
        return parse_figures(manifest[SECTION])
    except ValueError as error:
        raise ModelPackError(
            f"The figures of model pack {folder.name} cannot be used: in {folder / MANIFEST}, "
            f'under "{SECTION}", {error}. Correct them, or measure them anew with '
            f"`facepass accuracy FOLDER --model-pack {folder} --write`."
        ) from error


def write_figures(folder: Path, figures: PackFigures, *, built_in: bool = False) -> None:
    """Put the figures into the manifest of the pack in `folder`; its identity stays what it is.

    A folder without a manifest gets one that InsightFace passes over. built_in: as build_section.
    Raises ModelPackError where the manifest cannot be read or written, ValueError for figures that
    cannot be.
    """
    path = folder / MANIFEST
    text = _read_text(path)
    manifest = _parse_object(text)
    if path.exists() and not manifest:
        raise ModelPackError(f"{path} holds no manifest: correct or delete it.")
    built = build_section(figures, built_in=built_in)
    section = json.dumps(built, indent=2, ensure_ascii=False)
    entry = f'"{SECTION}": {section}'.replace("\n", "\n  ")
    rest = _cut_section(text).rstrip() if manifest else ""
    if rest:
        # Straight before the closing brace and what stands in front of it: cut out again, the text
        # is what it was, byte by byte.
        body = rest[:-1].rstrip()
        new = f"{body},\n  {entry}{_cut_section(text)[len(body) :]}"
    else:
        new = f"{{\n  {entry}\n}}\n"
    try:
        _replace_text(path, new)
    except OSError as error:
        raise ModelPackError(
            f"The figures cannot be written to {path} ({shorten_error(error)}): "
            "make the folder writable."
        ) from error


def hash_models(folder: Path) -> str:
    """SHA-256 over the names and SHA-256 of all .onnx files and the manifest without figures.

    Figures change no vector: a pack is the same one before and after they are written.
    """
    digests = {file: hash_file_sha256(file) for file in folder.rglob("*.onnx")}
    for path in folder.glob(MANIFEST):
        rest = _cut_section(path.read_bytes().decode("utf-8", "surrogateescape"))
        if rest:
            content = rest.encode("utf-8", "surrogateescape")
            digests[path] = hashlib.sha256(content).hexdigest()
    lines = [f"{file.relative_to(folder).as_posix()} {digests[file]}\n" for file in sorted(digests)]
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


def _read_text(path: Path) -> str:
    """The file's text; empty when there is none that can be read."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, ValueError):
        return ""


def _parse_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _cut_section(text: str) -> str:
    """A manifest's text without the section, as it was before that was written.

    Empty where the manifest is nothing but the section.
    """
    manifest = _parse_object(text)
    if SECTION not in manifest:
        return text
    del manifest[SECTION]
    if not manifest:
        return ""
    for key in _SECTION_KEY.finditer(text):
        _, end = json.JSONDecoder().raw_decode(text, key.end())
        rest = text[: key.start()] + text[end:]
        if _parse_object(rest) == manifest:
            return rest
    return json.dumps(manifest, indent=2) + "\n"  # it was written by hand in front of the others


def _replace_text(path: Path, text: str) -> None:
    """Write the file in one step: no reader sees a half of it."""
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as work:
        fresh = Path(work) / path.name
        fresh.write_bytes(text.encode())
        fresh.replace(path)


def shorten_error(error: BaseException) -> str:
    """The error's cause as one short piece of text."""
    return textwrap.shorten(str(error) or type(error).__name__, 240, placeholder="…")
