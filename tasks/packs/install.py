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
from tasks.packs.folder import find_models, hash_file_sha256, shorten_error

logger = logging.getLogger(__name__)

# What InsightFace 2.1 offers for faces (insightface/gui/core/model_packages.py), as NAME.zip of its
# release, and each zip's SHA-256 as InsightFace publishes it
# (github.com/deepinsight/insightface, server/backend/insightface_server/models/packages.py).
# raccoon_* carry a manifest, antelopev2 a folder in a folder.
INSIGHTFACE_PACKS = {
    "buffalo_l": "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
    "buffalo_m": "d98264bd8f2dc75cbc2ddce2a14e636e02bb857b3051c234b737bf3b614edca9",
    "buffalo_s": "d85a87f503f691807cd8bb97128bdf7a0660326cd9cd02657127fa978bab8b5e",
    "buffalo_sc": "57d31b56b6ffa911c8a73cfc1707c73cab76efe7f13b675a05223bf42de47c72",
    "antelopev2": "8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5",
    "raccoon_s": "f67a624ef8a4495899eb4359a8a6953f7b4c62a8399c5bc745c0e0f6582f898d",
    "raccoon_l": "70cd4f2f1de0a89dd0983bdac55a066a6178543f86e9ec87154f6f259bdded7e",
}


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
    if folder.name in INSIGHTFACE_PACKS:
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
    """Download, check and unpack InsightFace's pack named as the folder. Raises ModelPackError."""
    name = folder.name
    logger.info("Downloading model pack %s", name)
    archive = folder.with_name(f"{name}.zip")
    try:
        _download_archive(archive)
        if hash_file_sha256(archive) != INSIGHTFACE_PACKS[name]:
            raise ModelPackError(
                f"Model pack {name} was downloaded, but its SHA-256 is not the one that "
                "InsightFace publishes, so nothing of it is kept: try again, or set "
                "FACEPASS_MODEL_PACK to a folder that holds the pack, or to opencv_zoo."
            )
        unpacked = folder.with_name("unpacked") / name
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(unpacked)  # never outside it: zipfile drops leading / and ..
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise ModelPackError(
            f"Model pack {name} could not be downloaded ({shorten_error(error)}): check the "
            "network, or set FACEPASS_MODEL_PACK to a folder that holds the pack, or to "
            "opencv_zoo."
        ) from error
    found = find_models(unpacked)
    if found is None:
        raise ModelPackError(
            f"Model pack {name} was downloaded but holds no models: set FACEPASS_MODEL_PACK "
            "to a folder that holds the pack, or to opencv_zoo."
        )
    found.rename(folder)


def _download_archive(archive: Path) -> None:
    """Fetch InsightFace's zip of that name. Raises OSError, as requests do, or RuntimeError."""
    from insightface.utils import storage

    # It prints; standard output belongs to the commands' results.
    with redirect_stdout(io.StringIO()):
        url = storage.model_zoo_download_url(archive.name)
        storage.download_file(url, path=str(archive), overwrite=True)
