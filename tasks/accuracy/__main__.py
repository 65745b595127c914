"""The command `facepass accuracy`: it prints tables, then one line of JSON.

`python -m tasks.accuracy` is the same where the product is not installed.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from models.errors import FacePassError, MeasurementRefusedError
from models.packs import PROFILES
from models.settings import get_settings
from models.vocabulary import ProfileName
from tasks.accuracy.album import Studio
from tasks.accuracy.folder import list_photos
from tasks.accuracy.measure import Measurement, measure
from tasks.accuracy.page import write_page
from tasks.accuracy.report import describe, write_tables
from tasks.faces.engine import FaceEngine, SharedLimits
from tasks.faces.limits import count_cores
from tasks.packs.figures import PackFigures
from tasks.packs.folder import write_figures
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
        engines = _load_engines(options)
        measured = _measure(options, engines, console)
        if not options.as_json:
            write_tables(console, measured)
        if options.docs is not None:
            write_page(options.docs, measured)
        if options.write:
            write_figures(engines[ProfileName.STANDARD].pack.folder, require_chosen(measured))
    except FacePassError as error:
        console.print(str(error), markup=False)
        return REFUSED
    sys.stdout.write(json.dumps(describe(measured), ensure_ascii=False) + "\n")
    return 0


def require_chosen(measured: Measurement) -> PackFigures:
    """The figures to write. Raises MeasurementRefusedError where the photos do not suffice."""
    if measured.chosen is None:
        raise MeasurementRefusedError(measured.not_chosen)
    return measured.chosen


def _load_engines(options: Options) -> dict[ProfileName, FaceEngine]:
    settings = get_settings()
    limits = SharedLimits(settings.engine_threads or count_cores())
    return {
        name: FaceEngine(
            resolve_pack(settings, options.model_pack, profile.det_size, need_figures=False),
            settings.inference,
            settings.engine_threads,
            limits,
        )
        for name, profile in PROFILES.items()
    }


def _measure(
    options: Options, engines: dict[ProfileName, FaceEngine], console: Console
) -> Measurement:
    photos = list_photos(options.folder or USUAL_FOLDER, options.photos)
    side, max_pixels = PROFILES[options.profile].preview_side, get_settings().max_pixels
    return measure(photos, engines, options.profile, Studio(side, max_pixels, console))


def main() -> int:
    """Read the command line and measure: the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tasks.accuracy", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--model-pack")
    parser.add_argument("--profile", type=ProfileName, default=ProfileName.STANDARD)
    parser.add_argument("--photos", type=int)
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", action="store_true", dest="as_json")
    return show_accuracy(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
