"""Installation of model packs: each pack is built or downloaded once.

A pack's folder appears in one step, so no process ever sees an incomplete pack.
"""

import fcntl
import io
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

from models.errors import ModelPackError
from tasks.packs.folder import find_models, shorten_error

logger = logging.getLogger(__name__)


def install_pack(
    name: str, root: Path, is_whole: Callable[[Path], bool], fetch: Callable[[Path], None]
) -> Path:
    """Make sure that `root`/`name` is a whole pack: `fetch` fills an empty folder if it is not.

    The folder appears in one step, so a killed process leaves no half pack; of several processes
    or threads one does the work and the others wait. Raises ModelPackError.
    """
    folder = root / name
    if is_whole(folder):
        return folder
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / f".{name}.lock").open("w") as lock:
            # Waits for its holder; the system frees it when a process ends, however it ends.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_whole(folder):
                _replace_pack(folder, fetch)
    except OSError as error:
        raise ModelPackError(
            f"Model pack {name} cannot be put into {root} ({shorten_error(error)}): "
            "set FACEPASS_MODEL_ROOT to a folder with free space that can be written to."
        ) from error
    return folder


def _replace_pack(folder: Path, fetch: Callable[[Path], None]) -> None:
    """Fill a new folder and put it in the place of `folder`; the pack's lock is held."""
    for left_over in folder.parent.glob(f".{folder.name}-*"):  # of a process that was killed
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as work:
        fresh = Path(work) / folder.name
        fetch(fresh)
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
    # InsightFace's own zip beside it belonged to the download that was not whole.
    folder.with_name(f"{folder.name}.zip").unlink(missing_ok=True)


def is_downloaded(folder: Path) -> bool:
    """Whether InsightFace's pack is there and whole.

    A failed download of InsightFace's leaves an empty folder; a killed one a part of the files,
    which shows by the zip that InsightFace keeps beside the folder.
    """
    if find_models(folder) is None:
        return False
    try:
        with zipfile.ZipFile(folder.with_name(f"{folder.name}.zip")) as archive:
            members = [item for item in archive.infolist() if not item.is_dir()]
    except (OSError, zipfile.BadZipFile):
        return True  # nothing to compare with
    files = [(folder / item.filename, item.file_size) for item in members]
    return all(file.is_file() and file.stat().st_size == size for file, size in files)


def download_pack(folder: Path) -> None:
    """Let InsightFace download and unpack the pack named as the folder."""
    from insightface.utils import storage

    logger.info("Downloading model pack %s", folder.name)
    work = folder.with_name("download")
    try:
        # It prints; standard output belongs to the commands' results.
        with redirect_stdout(io.StringIO()):
            unpacked = storage.ensure_available("models", folder.name, root=str(work))
    except Exception as error:  # requests, zipfile, RuntimeError for a status other than 200
        raise ModelPackError(
            f"Model pack {folder.name} could not be downloaded ({shorten_error(error)}): check the "
            "network, or set FACEPASS_MODEL_PACK to a folder that holds the pack, or to "
            "opencv_zoo."
        ) from error
    found = find_models(Path(unpacked))
    if found is None:
        raise ModelPackError(
            f"Model pack {folder.name} was downloaded but holds no models: set FACEPASS_MODEL_PACK "
            "to a folder that holds the pack, or to opencv_zoo."
        )
    found.rename(folder)
