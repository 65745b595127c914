"""The function behind `facepass accuracy`: it prints tables, then one line of JSON."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from models.errors import FacePassError
from models.packs import PROFILES
from models.settings import get_settings
from models.vocabulary import ProfileName
from tasks.accuracy.album import Studio
from tasks.accuracy.folder import list_photos
from tasks.accuracy.measure import Measurement, measure
from tasks.accuracy.report import describe, write_tables
from tasks.faces.engine import FaceEngine, SharedLimits
from tasks.faces.limits import count_cores
from tasks.packs.registry import resolve_pack

# Photos to measure with that lie beside the project where somebody has put them there.
USUAL_FOLDER = Path("..") / "shared" / "data" / "lfw_part"
REFUSED = 2


@dataclass(frozen=True)
class Options:
    """What the command line says. model_pack: none for the one of the settings."""

    folder: Path | None = None
    model_pack: str | None = None
    profile: ProfileName = ProfileName.STANDARD
    photos: int | None = None
    docs: Path | None = None
    write: bool = False
    as_json: bool = False


def show_accuracy(options: Options, console: Console | None = None) -> int:
    """Measure, print, and write what is asked for: the exit code."""
    console = console or Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        measurement = _measure(options, console)
    except FacePassError as error:
        console.print(str(error), markup=False)
        return REFUSED
    if not options.as_json:
        write_tables(console, measurement)
    sys.stdout.write(json.dumps(describe(measurement), ensure_ascii=False) + "\n")
    return 0


def _measure(options: Options, console: Console) -> Measurement:
    photos = list_photos(options.folder or USUAL_FOLDER, options.photos)
    settings = get_settings()
    limits = SharedLimits(settings.engine_threads or count_cores())
    engines = {
        name: FaceEngine(
            resolve_pack(settings, options.model_pack, profile.det_size),
            settings.inference,
            settings.engine_threads,
            limits,
        )
        for name, profile in PROFILES.items()
    }
    side = PROFILES[options.profile].preview_side
    return measure(photos, engines, options.profile, Studio(side, settings.max_pixels, console))
