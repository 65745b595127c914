"""Several selfies: each judged by itself, averaged by quality, and of one person."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SelfieError
from models.vocabulary import SelfieCode, SelfieFace
from tasks.faces import selfies as reading
from tasks.faces.selfie import Selfie
from tasks.faces.selfies import LEAST_LIKENESS, average_selfies, read_selfies

ENGINE: Any = SimpleNamespace(pack=SimpleNamespace(figures=SimpleNamespace(search=0.45)))
LEAST = LEAST_LIKENESS * 0.45


def make_selfie(*numbers: float, quality: float = 1.0, box: int = 0) -> Selfie:
    vector = np.array(numbers, np.float32)
    vector /= np.linalg.norm(vector)
    return Selfie(SelfieFace((box, 0, 1, 1), 0.9), vector, quality)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Selfies are told by their first byte; those of 9 have no face."""

    def read_selfie(content: bytes, _: object, __: int, chosen: int | None) -> Selfie:
        if content[0] == 9:
            raise SelfieError("There is no face.", SelfieCode.NO_FACE)
        return make_selfie(1, content[0] / 10, box=chosen or 0)

    monkeypatch.setattr(reading, "read_selfie", read_selfie)


def read_all(contents: Sequence[bytes], chosen: Sequence[int | None] = ()) -> Any:
    return read_selfies(contents, ENGINE, 10**6, chosen)


def test_one_selfie_is_searched_with_as_it_is(read: None) -> None:
    one = read_all([b"\x03"])
    np.testing.assert_allclose(one.embedding, make_selfie(1, 0.3).embedding, rtol=1e-6)
    assert len(one.faces) == 1


def test_the_face_of_each_selfie_is_chosen_apart(read: None) -> None:
    faces = read_all([b"\x01", b"\x02", b"\x03"], [None, 4, 2]).faces
    assert [face.box[0] for face in faces] == [0, 4, 2]


@pytest.mark.parametrize("bad", [1, 2, 3])
def test_a_selfie_that_is_refused_is_named(read: None, bad: int) -> None:
    contents = [b"\x01", b"\x02", b"\x03"]
    contents[bad - 1] = b"\x09"
    with pytest.raises(SelfieError) as refused:
        read_all(contents)
    assert (refused.value.code, refused.value.file) == (SelfieCode.NO_FACE, bad)
    assert str(refused.value) == f"Selfie {bad}: There is no face."


def test_the_only_selfie_is_refused_in_its_own_words(read: None) -> None:
    with pytest.raises(SelfieError) as refused:
        read_all([b"\x09"])
    assert (str(refused.value), refused.value.file) == ("There is no face.", 1)


def test_selfies_are_averaged_by_their_quality() -> None:
    first, second = make_selfie(1, 0, 0.5, quality=3), make_selfie(0, 1, 0.5, quality=1)
    mean = average_selfies([first, second], 0.1).embedding
    expected = 3 * first.embedding + second.embedding
    np.testing.assert_allclose(mean, expected / np.linalg.norm(expected), rtol=1e-5)


unit = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(lambda v: sum(map(abs, v)) > 0.1)


@given(st.lists(st.tuples(unit, st.floats(0.1, 10)), min_size=1, max_size=3))
def test_a_mean_is_of_length_one_or_the_selfies_are_of_several_people(
    parts: list[tuple[list[float], float]],
) -> None:
    selfies = [make_selfie(*vector, quality=quality) for vector, quality in parts]
    vectors = [selfie.embedding for selfie in selfies]
    alike = min(float(a @ b) for a in vectors for b in vectors)
    try:
        mean = average_selfies(selfies, LEAST).embedding
    except SelfieError:
        assert alike < LEAST + 1e-5
    else:
        assert alike > LEAST - 1e-5
        assert np.linalg.norm(mean) == pytest.approx(1, abs=1e-5)
        assert mean.dtype == np.float32


@pytest.mark.parametrize(
    ("selfies", "stranger"),
    [
        ([make_selfie(1, 0), make_selfie(0.1, 1)], 2),
        ([make_selfie(1, 0.1), make_selfie(0, 1), make_selfie(1, 0)], 2),
        ([make_selfie(0, 1), make_selfie(1, 0.1), make_selfie(1, 0)], 1),
        ([make_selfie(1, 0, 0), make_selfie(0, 1, 0), make_selfie(0, 0, 1)], 3),
    ],
)
def test_selfies_of_several_people_are_refused_and_the_stranger_is_named(
    selfies: list[Selfie], stranger: int
) -> None:
    with pytest.raises(SelfieError) as refused:
        average_selfies(selfies, LEAST)
    assert (refused.value.code, refused.value.file) == (SelfieCode.DIFFERENT_PEOPLE, stranger)
    assert f"Selfie {stranger} " in str(refused.value)
