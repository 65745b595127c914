"""The measurement: an album's searches, samples and pairs, with the thresholds they are told by."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.errors import MeasurementRefusedError
from models.vocabulary import ProfileName
from tasks.accuracy.album import Album, Studio, open_album
from tasks.accuracy.event import EventFaces, Floats, search_event
from tasks.accuracy.folder import LabelledPhoto
from tasks.accuracy.rates import (
    MOST_WRONG,
    MOST_WRONG_SURELY,
    PairRates,
    Rates,
    Scores,
    find_doubtful,
    rate_pairs,
    require_enough,
)
from tasks.accuracy.samples import Sampler, ViewRates
from tasks.faces.engine import FaceEngine
from tasks.packs.figures import Expansion, PackFigures

PAIR_THRESHOLDS = (0.35, 0.40, 0.45, 0.50, 0.55)
MOST_PHOTOS_PAIRED = 3000
# Shares of the photo's longer side, of its largest face's: the borders of the table.
FACE_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)


@dataclass(frozen=True)
class Marks:
    """Rates at a pack's thresholds by their names; those without photos of doubtful folders."""

    rates: dict[str, Rates]
    trusted: dict[str, Rates]
    expanded: list[Rates]
    without_seed: int


@dataclass(frozen=True)
class Measurement:
    """All that was measured, with the sizes of the samples.

    figures: the pack's, or those chosen where it has none; they say what is found. chosen: by the
    rule of rates.py; or none, and not_chosen says why. marks: the rates at the thresholds of
    `figures`, by their names; trusted_marks and chosen_marks: without photos of doubtful folders.
    guests: people who search, with each of their photos once.
    """

    pack: str
    profile: str
    figures: PackFigures
    chosen: PackFigures | None
    chosen_marks: dict[str, Rates]
    not_chosen: str
    photos: int
    unreadable: int
    people: int
    guests: int
    searches: int
    without_seed: int
    refused_selfies: dict[str, int]
    photos_with_face: int
    faces: int
    by_face_share: dict[str, int]
    marks: dict[str, Rates]
    trusted_marks: dict[str, Rates]
    doubtful_photos: int
    plain: list[Rates]
    expanded: list[Rates]
    in_photo_pairs: PairRates
    other_people: PairRates
    turned_photos: list[ViewRates]
    turned_selfies: list[ViewRates]
    close_ups: dict[str, list[ViewRates]]
    face_heights: list[ViewRates]
    seconds: float


def measure(
    photos: Sequence[LabelledPhoto],
    engines: Mapping[ProfileName, FaceEngine],
    profile: ProfileName,
    studio: Studio,
) -> Measurement:
    """Measure an engine of each profile on labelled photos, the searches under one `profile`."""
    began = time.monotonic()
    engine, usual = engines[profile], engines[ProfileName.STANDARD]
    album = open_album(photos, engine, usual, studio)
    if not album.selfies:
        raise MeasurementRefusedError(
            "No photo is accepted as a selfie: measure with photos that show one large face."
        )
    searches = Searches(album)
    figures = engine.pack.figures
    chosen, not_chosen = None, ""
    try:
        chosen = searches.choose_figures(figures)
    except MeasurementRefusedError as error:
        not_chosen = str(error)
    chosen_marks = searches.rate(chosen).trusted if chosen else {}
    if chosen and not figures.source:
        figures = chosen
    sampler = Sampler(album, studio, figures)
    marks = searches.rate(figures)
    return Measurement(
        pack=engine.pack.identity,
        profile=profile.value,
        figures=figures,
        chosen=chosen,
        chosen_marks=chosen_marks,
        not_chosen=not_chosen,
        photos=len(album.photos),
        unreadable=album.unreadable,
        people=len({photo.person for photo in album.photos}),
        guests=searches.guests,
        searches=len(album.selfies),
        without_seed=marks.without_seed,
        refused_selfies=dict(album.refused),
        photos_with_face=sum(len(faces.scores) > 0 for faces in album.faces),
        faces=sum(len(faces.scores) for faces in album.faces),
        by_face_share=count_by_share(album),
        marks=marks.rates,
        trusted_marks=marks.trusted,
        doubtful_photos=int(searches.doubtful.sum()),
        plain=searches.plain.rate_all(),
        expanded=marks.expanded,
        in_photo_pairs=rate_pairs(list_in_photo(album), PAIR_THRESHOLDS),
        other_people=rate_pairs(list_other_people(album), PAIR_THRESHOLDS),
        turned_photos=sampler.turn_photos(engine),
        turned_selfies=sampler.turn_selfies(usual),
        close_ups={name.value: sampler.close_up(one, name) for name, one in engines.items()},
        face_heights=sampler.shrink(engine),
        seconds=round(time.monotonic() - began, 1),
    )


class Searches:
    """Every accepted selfie against all other photos; `plain` are the scores of the first pass."""

    def __init__(self, album: Album) -> None:
        self._album = album
        self._event = EventFaces.of([faces.embeddings for faces in album.faces])
        people = np.array([photo.person for photo in album.photos])
        rows = np.array(list(album.selfies))
        own = people[rows][:, None] == people[None, :]
        strangers = ~own
        own[np.arange(len(rows)), rows] = False
        plain, _ = self._search(None)
        self.plain = Scores(plain, own, strangers)
        self.guests = len(np.unique(people[rows]))
        self.doubtful = find_doubtful(self.plain, people[rows])
        self._doubtful_searches = self.doubtful[rows]

    def _search(self, expansion: Expansion | None) -> tuple[Floats, Floats]:
        """Similarities of both passes (N, P); a second pass that was not made is not-a-numbers."""
        shape = (len(self._album.selfies), len(self._album.photos))
        plain, expanded = np.empty(shape, np.float32), np.full(shape, np.nan, np.float32)
        for row, (number, selfie) in enumerate(self._album.selfies.items()):
            search = search_event(selfie, self._event, expansion, left_out=number)
            plain[row] = search.plain
            if search.expanded is not None:
                expanded[row] = search.expanded
        return plain, expanded

    def rate(self, figures: PackFigures) -> Marks:
        """The rates at the figures' thresholds, and those of the expanded searches at each."""
        thresholds = {"search": figures.search, "surely": figures.surely}
        scores = dict.fromkeys(thresholds, self.plain)
        expanded = None
        if figures.expansion is not None:
            _, expanded = self._search(figures.expansion)
            for name, fallback in tuple(thresholds.items()):
                scores[f"expanded {name}"] = self.plain.expand(expanded, fallback)
            thresholds["expanded search"] = figures.expansion.search
            thresholds["expanded surely"] = figures.expansion.surely
        return Marks(
            {name: scores[name].rate(threshold) for name, threshold in thresholds.items()},
            {name: self._trust(scores[name]).rate(value) for name, value in thresholds.items()},
            scores["expanded search"].rate_all() if expanded is not None else [],
            int(np.isnan(expanded).any(axis=1).sum()) if expanded is not None else 0,
        )

    def choose_figures(self, figures: PackFigures) -> PackFigures:
        """The figures with thresholds chosen by the rule. Raises MeasurementRefusedError."""
        plain = self._trust(self.plain)
        require_enough(self.guests, plain)
        search = plain.choose_threshold(MOST_WRONG)
        surely = plain.choose_threshold(MOST_WRONG_SURELY)
        _, expanded = self._search(Expansion(surely, search, surely))
        chosen = [
            self._trust(self.plain.expand(expanded, fallback)).choose_threshold(most_wrong)
            for fallback, most_wrong in ((search, MOST_WRONG), (surely, MOST_WRONG_SURELY))
        ]
        source = (
            f"measured by `facepass accuracy` on {len(self._album.photos)} photos of "
            f"{len({photo.person for photo in self._album.photos})} people"
        )
        return replace(
            figures,
            search=search,
            surely=max(search, surely),
            expansion=Expansion(surely, chosen[0], max(chosen)),
            source=source,
        )

    def _trust(self, scores: Scores) -> Scores:
        """The scores without photos whose folder is doubtful."""
        return scores.leave_out(self._doubtful_searches, self.doubtful)


def list_in_photo(album: Album) -> Floats:
    """Similarities of all pairs of faces in one photo: they are two people."""
    parts = []
    for faces in album.faces:
        rows, columns = np.triu_indices(len(faces.scores), 1)
        if len(rows):
            parts.append((faces.embeddings[rows] * faces.embeddings[columns]).sum(axis=1))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def list_other_people(album: Album) -> Floats:
    """Similarities of the largest faces of photos of different people."""
    rows = {i: album.find_largest(i) for i in range(len(album.photos))}
    found = {i: row for i, row in rows.items() if row is not None}
    numbers = list(found)[:: max(1, len(found) // MOST_PHOTOS_PAIRED)]
    vectors = np.array([album.faces[i].embeddings[found[i]] for i in numbers])
    people = np.array([album.photos[i].person for i in numbers])
    if not len(numbers):
        return np.zeros(0, np.float32)
    differ = np.triu(people[:, None] != people[None, :], 1)
    similarities: Floats = (vectors @ vectors.T)[differ]
    return similarities


def count_by_share(album: Album) -> dict[str, int]:
    """Photos by their largest face's share of the longer side, as a sync found it."""
    shares = []
    for number, faces in enumerate(album.faces):
        row = album.find_largest(number)
        if row is not None:
            shares.append(float((faces.boxes[row, 2:] - faces.boxes[row, :2]).max()))
    counts, _ = np.histogram(shares, FACE_SHARES)
    borders = zip(FACE_SHARES, FACE_SHARES[1:], counts.tolist(), strict=False)
    return {f"{low:.0%} to {high:.0%}": count for low, high, count in borders}
