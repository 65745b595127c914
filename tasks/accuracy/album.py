"""The photos to measure with: read and embedded as a sync does it, and as guests' selfies."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from models.errors import PhotoUnavailableError, SelfieError
from models.vocabulary import PhotoReason, SelfieCode
from tasks.accuracy.event import Floats
from tasks.accuracy.folder import LabelledPhoto
from tasks.accuracy.views import Box
from tasks.faces.detected import DetectedFaces
from tasks.faces.engine import FaceEngine, FacesOrError, PhotoReader
from tasks.faces.limits import count_cores
from tasks.faces.selfie import read_selfie
from tasks.images.decode import BgrImage, decode_photo
from tasks.images.preview import MAX_ORIGINAL_PIXELS, PreviewRecipe, make_preview

AT_A_TIME = 40  # photos embedded between two looks of the progress bar
SELFIE_PIXELS = 1280  # a selfie that is turned is decoded at this size; phones send larger ones

Item = TypeVar("Item")


@dataclass(frozen=True)
class Album:
    """Labelled photos that could be read, with their faces; the selfies that are accepted.

    selfies: embeddings (dim,) by photo number; of people with two photos. refused: the others'
    codes. unreadable: photos left out.
    """

    photos: list[LabelledPhoto]
    faces: list[DetectedFaces]
    selfies: dict[int, Floats]
    refused: Counter[str]
    unreadable: int

    def list_others(self, photo: int) -> list[int]:
        """The numbers of the same person's other photos."""
        person = self.photos[photo].person
        return [i for i, one in enumerate(self.photos) if one.person == person and i != photo]

    def find_largest(self, photo: int) -> int | None:
        """The row of the photo's largest face, which is taken for its person's."""
        sides = self.faces[photo].boxes[:, 2:] - self.faces[photo].boxes[:, :2]
        return int((sides[:, 0] * sides[:, 1]).argmax()) if len(sides) else None


class Studio:
    """The engine and sizes that photos are embedded with, and the screen that shows how far."""

    def __init__(self, side: int, max_pixels: int, console: Console) -> None:
        """side: of previews, in pixels. max_pixels: of selfies."""
        self.recipe = PreviewRecipe(side)
        self.max_pixels = max_pixels
        self._console = console

    def embed(
        self, engine: FaceEngine, readers: Sequence[PhotoReader], title: str
    ) -> list[FacesOrError]:
        """The faces of photos, on all cores."""
        starts = range(0, len(readers), AT_A_TIME)
        return [
            faces
            for start in self._track(starts, title)
            for faces in engine.embed_all(readers[start : start + AT_A_TIME])
        ]

    def read_selfies(
        self, engine: FaceEngine, contents: Sequence[Callable[[], bytes]], title: str
    ) -> list[Floats | str]:
        """The selfies' embeddings, or the codes by which they are refused, on all cores.

        Of several faces the largest is taken: a guest is asked which, and chooses it.
        """

        def read(content: Callable[[], bytes]) -> Floats | str:
            code = ""
            for chosen in (None, 0):
                try:
                    return read_selfie(content(), engine, self.max_pixels, chosen).embedding
                except SelfieError as error:
                    code = str(error.code)
                    if code != SelfieCode.SEVERAL_FACES:
                        break
            return code

        with ThreadPoolExecutor(count_cores()) as pool:
            return list(self._track(pool.map(read, contents), title, len(contents)))

    def read_preview(self, file: Path, engine: FaceEngine) -> BgrImage:
        """The photo as a sync sees it. Raises PhotoUnavailableError."""
        preview = make_preview(read_file(file), self.recipe, engine.budget.reserve)
        return decode_photo(preview, MAX_ORIGINAL_PIXELS)

    def read_original(self, file: Path, reserve: Callable[[int], None] | None = None) -> BgrImage:
        """The photo upright, large enough for a selfie. Raises PhotoUnavailableError."""
        return decode_photo(read_file(file), self.max_pixels, reserve, SELFIE_PIXELS)

    def _track(self, items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
        hidden = not self._console.is_terminal
        return iter(
            track(items, title, total, console=self._console, transient=True, disable=hidden)
        )


def open_album(
    photos: Sequence[LabelledPhoto], engine: FaceEngine, usual: FaceEngine, studio: Studio
) -> Album:
    """Embed all photos, and read each as a selfie whose person has another one.

    engine: of the event's profile; usual: the one that selfies are read with.
    """
    readers = [partial(studio.read_preview, photo.file, engine) for photo in photos]
    found = studio.embed(engine, readers, "photos")
    kept, faces = [], []
    for photo, one in zip(photos, found, strict=True):
        if isinstance(one, DetectedFaces):
            kept.append(photo)
            faces.append(one)
        elif not isinstance(one, PhotoUnavailableError):
            raise one
    counts = Counter(photo.person for photo in kept)
    guests = [i for i, photo in enumerate(kept) if counts[photo.person] > 1]
    contents = [partial(read_file, kept[i].file) for i in guests]
    selfies, refused = {}, Counter[str]()
    for i, selfie in zip(guests, studio.read_selfies(usual, contents, "selfies"), strict=True):
        if isinstance(selfie, str):
            refused[selfie] += 1
        else:
            selfies[i] = selfie
    return Album(kept, faces, selfies, refused, len(photos) - len(kept))


def find_box(faces: DetectedFaces, row: int, shape: tuple[int, ...]) -> Box:
    """A face's box in pixels of a photo (H, W, …)."""
    height, width = shape[:2]
    box: Box = faces.boxes[row] * [width, height, width, height]
    return box


def read_file(file: Path) -> bytes:
    """The file's bytes. Raises PhotoUnavailableError."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise PhotoUnavailableError(PhotoReason.FORBIDDEN) from error
