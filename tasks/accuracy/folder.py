"""The folder of photos to measure with: PERSON/photo.jpg, one folder a person."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import MeasurementRefusedError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
LAYOUT = "give a folder that holds a folder for each person, and in it photos of that person"


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo's file, and its person's number; the name is left behind here."""

    person: int
    file: Path


def list_photos(folder: Path, most: int | None = None) -> list[LabelledPhoto]:
    """The photos of a folder, person by person; of whole people only, `most` photos at most.

    The same `most` takes the same people. Raises MeasurementRefusedError where there are not two
    people, or nobody has two photos: then no search can be right or wrong.
    """
    people = [files for home in _list_folders(folder) if (files := _list_files(home))]
    if not people:
        raise MeasurementRefusedError(f"There are no photos in {folder} to measure with: {LAYOUT}.")
    if most is not None:
        people = _take_people(people, most)
    photos = [LabelledPhoto(person, file) for person, files in enumerate(people) for file in files]
    if len(people) < 2:
        raise MeasurementRefusedError(
            "Photos of one person say nothing about wrong ones: measure with two people at least."
        )
    if max(Counter(photo.person for photo in photos).values()) < 2:
        raise MeasurementRefusedError(
            "Nobody has two photos, so that one could find the other: add more of the same people."
        )
    return photos


def _list_folders(folder: Path) -> list[Path]:
    try:
        return sorted(home for home in folder.iterdir() if home.is_dir())
    except OSError as error:
        raise MeasurementRefusedError(
            f"There is no folder {folder} that can be read: {LAYOUT}."
        ) from error


def _list_files(home: Path) -> list[Path]:
    try:
        files = sorted(home.iterdir())
    except OSError as error:
        raise MeasurementRefusedError(f"{home} cannot be read: make it readable.") from error
    return [
        file
        for file in files
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    ]


def _take_people(people: list[list[Path]], most: int) -> list[list[Path]]:
    """People in an order that says nothing of their names, as long as their photos fit."""
    taken, photos = [], 0
    for number in np.random.default_rng(0).permutation(len(people)):
        if photos + len(people[number]) <= most:
            taken.append(int(number))
            photos += len(people[number])
    return [people[number] for number in sorted(taken)]
