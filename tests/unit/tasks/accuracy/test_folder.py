"""The folder to measure with: what is read of it, and the sentence where it does not do."""

from pathlib import Path

import pytest

from models.errors import MeasurementRefusedError
from tasks.accuracy.folder import list_photos


def fill(root: Path, people: dict[str, list[str]]) -> Path:
    for person, names in people.items():
        (root / person).mkdir()
        for name in names:
            (root / person / name).write_bytes(b"\xff\xd8\xff")
    return root


def test_photos_are_listed_person_by_person_whatever_the_names(tmp_path: Path) -> None:
    fill(
        tmp_path,
        {
            "Анна Каренина": ["первое фото.JPG", "второе.png"],
            "b": ["1.webp", "2.jpeg", "notes.txt", ".hidden.jpg"],
            "nobody": [],
        },
    )
    (tmp_path / "loose.jpg").write_bytes(b"")
    photos = list_photos(tmp_path)
    assert [(photo.person, photo.file.name) for photo in photos] == [
        (0, "1.webp"),
        (0, "2.jpeg"),
        (1, "второе.png"),
        (1, "первое фото.JPG"),
    ]


@pytest.mark.parametrize(
    ("people", "says"),
    [
        ({}, "There are no photos in"),
        ({"a": [], "b": ["notes.txt"]}, "There are no photos in"),
        ({"a": ["1.jpg", "2.jpg"]}, "Photos of one person"),
        ({"a": ["1.jpg"], "b": ["1.jpg"]}, "Nobody has two photos"),
    ],
)
def test_a_folder_that_does_not_do_is_a_sentence(
    tmp_path: Path, people: dict[str, list[str]], says: str
) -> None:
    with pytest.raises(MeasurementRefusedError, match=f"^{says}[^\n]+[.]$"):
        list_photos(fill(tmp_path, people))


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MeasurementRefusedError, match=r"^There is no folder .+ give a folder"):
        list_photos(tmp_path / "gone")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MeasurementRefusedError, match="There is no folder"):
        list_photos(tmp_path / "file")


def test_a_part_is_of_whole_people_and_the_same_each_time(tmp_path: Path) -> None:
    fill(tmp_path, {f"p{i}": ["1.jpg", "2.jpg", "3.jpg"][: 1 + i % 3] for i in range(30)})
    part = list_photos(tmp_path, most=20)
    assert part == list_photos(tmp_path, most=20)
    assert 15 <= len(part) <= 20
    for photo in part:
        siblings = list(photo.file.parent.iterdir())
        assert sum(one.file.parent == photo.file.parent for one in part) == len(siblings)
