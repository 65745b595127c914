"""Samples of photos seen otherwise: turned, as close-ups, with smaller faces; and what is found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from models.errors import PhotoUnavailableError
from models.packs import PROFILES
from models.vocabulary import PhotoReason, ProfileName
from tasks.accuracy.album import Album, Studio, find_box
from tasks.accuracy.event import EventFaces, Floats, search_event
from tasks.accuracy.rates import Flags
from tasks.accuracy.views import cut_close_up, encode_selfie, shrink_face, turn_photo
from tasks.faces.detected import DetectedFaces
from tasks.faces.engine import FaceEngine, PhotoReader
from tasks.images.decode import BgrImage
from tasks.packs.figures import PackFigures

PEOPLE = 100  # in a sample, a photo each
TURNS = (0, 10, 20, 30, 45, 60, 90, 180)  # degrees, clockwise
CLOSE_UPS = (0.65, 0.75, 0.85, 0.95)  # shares of the frame's side
FACE_HEIGHTS = (80, 60, 40, 30, 20)  # pixels of a preview of 640

View: TypeAlias = Callable[[BgrImage, Floats], BgrImage | None]


@dataclass(frozen=True)
class ViewRates:
    """A sample seen in one way.

    photos: seen so; detected: the share with a face, for a selfie: accepted. pairs: of a selfie
    and a photo of the same person; plain and expanded: the share found by either search.
    """

    view: str
    photos: int
    detected: float
    pairs: int
    plain: float
    expanded: float | None


class Sampler:
    """An album's sample: one photo of each person who has two, PEOPLE at most."""

    def __init__(self, album: Album, studio: Studio, figures: PackFigures) -> None:
        """figures: whose thresholds say what is found."""
        self._album, self._studio, self._figures = album, studio, figures
        self._event = EventFaces.of([faces.embeddings for faces in album.faces])
        firsts: dict[int, int] = {}
        for number, photo in enumerate(album.photos):
            if len(album.list_others(number)):
                firsts.setdefault(photo.person, number)
        chosen = np.linspace(0, len(firsts) - 1, min(PEOPLE, len(firsts))).round().astype(int)
        self.photos = [list(firsts.values())[i] for i in chosen]

    def turn_photos(self, engine: FaceEngine) -> list[ViewRates]:
        """Event photos turned, searched for by upright selfies."""
        side = self._studio.recipe.side
        return [
            self._rate_photos(
                f"{degrees}°",
                engine,
                [
                    partial(self._turn_preview, number, degrees, side, engine)
                    for number in self.photos
                ],
                self.photos,
            )
            for degrees in TURNS
        ]

    def turn_selfies(self, engine: FaceEngine) -> list[ViewRates]:
        """Turned selfies, that search for upright photos."""
        return [self._rate_selfies(degrees, engine) for degrees in TURNS]

    def close_up(self, engine: FaceEngine, profile: ProfileName) -> list[ViewRates]:
        """Event photos that a face fills, under one profile."""
        side = PROFILES[profile].preview_side
        return [
            self._rate_views(
                f"{share:.0%}",
                engine,
                partial(cut_close_up, share=share, side=side),
            )
            for share in CLOSE_UPS
        ]

    def shrink(self, engine: FaceEngine) -> list[ViewRates]:
        """Event photos with smaller faces."""
        side = self._studio.recipe.side
        heights = [height * side // 640 for height in FACE_HEIGHTS]
        return [
            self._rate_views(
                f"{height} px",
                engine,
                partial(shrink_face, height=height, side=side),
            )
            for height in heights
        ]

    def _turn_preview(self, number: int, degrees: int, side: int, engine: FaceEngine) -> BgrImage:
        photo = self._studio.read_preview(self._album.photos[number].file, engine)
        return turn_photo(photo, degrees, side)

    def _rate_views(self, name: str, engine: FaceEngine, view: View) -> ViewRates:
        """The photos whose largest face can be seen so."""
        numbers = [i for i in self.photos if self._album.find_largest(i) is not None]
        readers = [partial(self._show, number, view, engine) for number in numbers]
        return self._rate_photos(name, engine, readers, numbers)

    def _show(self, number: int, view: View, engine: FaceEngine) -> BgrImage:
        """The view. Raises PhotoUnavailableError where the photo cannot be seen so."""
        photo = self._studio.read_original(self._album.photos[number].file, engine.budget.reserve)
        row = self._album.find_largest(number) or 0
        picture = view(photo, find_box(self._album.faces[number], row, photo.shape))
        if picture is None:
            raise PhotoUnavailableError(PhotoReason.UNPROCESSABLE)
        return picture

    def _rate_photos(
        self,
        name: str,
        engine: FaceEngine,
        readers: Sequence[PhotoReader],
        numbers: Sequence[int],
    ) -> ViewRates:
        """Each view takes its photo's place in the event; the person's other photos search."""
        photos, detected, hits = 0, 0, list[Flags]()
        for number, faces in zip(numbers, self._studio.embed(engine, readers, name), strict=True):
            if not isinstance(faces, DetectedFaces):
                continue
            photos += 1
            detected += len(faces.scores) > 0
            seen = self._event.replace(number, faces.embeddings)
            for other in self._album.list_others(number):
                selfie = self._album.selfies.get(other)
                hits += [] if selfie is None else [self._find(selfie, seen, other)[:, number]]
        return self._sum_up(name, photos, detected, hits)

    def _rate_selfies(self, degrees: int, engine: FaceEngine) -> ViewRates:
        def make(number: int) -> bytes:
            photo = self._studio.read_original(self._album.photos[number].file)
            return encode_selfie(turn_photo(photo, degrees, max(photo.shape)))

        contents = [partial(make, number) for number in self.photos]
        selfies = self._studio.read_selfies(engine, contents, f"selfies {degrees}°")
        accepted, hits = 0, list[Flags]()
        for number, selfie in zip(self.photos, selfies, strict=True):
            others = self._album.list_others(number)
            if isinstance(selfie, str):
                hits += [np.zeros(2, bool) for _ in others]
                continue
            accepted += 1
            hits += list(self._find(selfie, self._event, number)[:, others].T)
        return self._sum_up(f"{degrees}°", len(self.photos), accepted, hits)

    def _find(self, selfie: Floats, event: EventFaces, own: int) -> Flags:
        """The photos found plainly and by the expanded search: (2, P). `own` is the selfie's."""
        figures = self._figures
        search = search_event(selfie, event, figures.expansion, left_out=own)
        plain = search.plain >= figures.search
        if figures.expansion is None or search.expanded is None:
            return np.array([plain, plain])
        return np.array([plain, search.expanded >= figures.expansion.search])

    def _sum_up(self, name: str, photos: int, detected: int, hits: Sequence[Flags]) -> ViewRates:
        shares = np.mean(hits, axis=0) if hits else np.zeros(2)
        return ViewRates(
            name,
            photos,
            detected / max(1, photos),
            len(hits),
            float(shares[0]),
            float(shares[1]) if self._figures.expansion else None,
        )
