"""A batch's faces in result storage: what goes in comes out, and reading it runs no code."""

import zipfile
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ResultUnreadableError
from models.vocabulary import PhotoReason
from tasks.faces.detected import (
    CHANGED,
    UNREACHABLE,
    DetectedFaces,
    PhotoFaces,
    pack_faces,
    unpack_faces,
)

VERDICTS = [*(reason.value for reason in PhotoReason), UNREACHABLE, CHANGED]


def make_faces(count: int, dimension: int, seed: int) -> DetectedFaces:
    """Random faces."""
    noise = np.random.default_rng(seed)
    return DetectedFaces(
        noise.random((count, 4), dtype=np.float32),
        noise.random(count, dtype=np.float32),
        noise.random((count, dimension), dtype=np.float32),
    )


@st.composite
def batches(draw: st.DrawFn) -> list[PhotoFaces]:
    """Photos with 1..30 faces each, or with none and a verdict."""
    dimension = draw(st.sampled_from([128, 512]))
    photos = st.one_of(
        st.sampled_from(VERDICTS).map(lambda verdict: PhotoFaces(None, verdict)),
        st.builds(
            lambda count, seed: PhotoFaces(make_faces(count, dimension, seed)),
            st.integers(1, 30),
            st.integers(0, 99),
        ),
    )
    return draw(st.lists(photos, max_size=12))


def check_equal(got: npt.NDArray[np.float32], given_: npt.NDArray[np.float32]) -> None:
    """The same numbers of the same kind, to the bit."""
    assert got.dtype == given_.dtype == np.float32
    np.testing.assert_array_equal(got, given_)


@given(batches())
def test_a_batch_comes_back_in_its_order_to_the_bit(batch: list[PhotoFaces]) -> None:
    back = unpack_faces(pack_faces(batch), len(batch))
    assert [photo.verdict for photo in back] == [photo.verdict for photo in batch]
    for got, given_ in zip(back, batch, strict=True):
        assert (got.faces is None) == (given_.faces is None)
        if got.faces is not None and given_.faces is not None:
            check_equal(got.faces.boxes, given_.faces.boxes)
            check_equal(got.faces.scores, given_.faces.scores)
            check_equal(got.faces.embeddings, given_.faces.embeddings)


@pytest.mark.parametrize(
    "batch", [[], [PhotoFaces(None, "empty")], [PhotoFaces(None, CHANGED)] * 3]
)
def test_a_batch_without_faces_comes_back(batch: list[PhotoFaces]) -> None:
    assert unpack_faces(pack_faces(batch), len(batch)) == batch


@given(batches())
def test_the_same_batch_gives_the_same_product(batch: list[PhotoFaces]) -> None:
    with zipfile.ZipFile(BytesIO(pack_faces(batch))) as first:
        parts = {name: first.read(name) for name in first.namelist()}
    with zipfile.ZipFile(BytesIO(pack_faces(list(batch)))) as second:
        assert {name: second.read(name) for name in second.namelist()} == parts
    assert set(parts) == {
        f"{name}.npy" for name in ("boxes", "counts", "embeddings", "scores", "turns", "verdicts")
    }


def test_a_pickle_in_result_storage_is_refused_not_run() -> None:
    ran: list[str] = []

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (ran.append, ("ran",))

    forged = BytesIO()
    trap = np.array([Trap()], dtype=object)
    names = ("boxes", "scores", "embeddings", "counts", "verdicts")
    np.savez(forged, **dict.fromkeys(names, trap))
    with pytest.raises(ResultUnreadableError):
        unpack_faces(forged.getvalue(), 1)
    assert ran == []


def test_what_another_release_kept_is_told_apart() -> None:
    product = pack_faces([PhotoFaces(None, UNREACHABLE)])
    unknown = pack_faces([PhotoFaces(None, "a reason of tomorrow")])
    for foreign in (b"", b"faces", product[:-30], product.replace(b"counts", b"number"), unknown):
        with pytest.raises(ResultUnreadableError):
            unpack_faces(foreign, 1)
    with pytest.raises(ResultUnreadableError):
        unpack_faces(product, 2)


@pytest.mark.parametrize("reason", list(PhotoReason))
def test_a_reason_of_the_fixed_list_is_final_and_stored(reason: PhotoReason) -> None:
    photo = PhotoFaces(None, reason.value)
    assert (photo.is_final, photo.reason) == (True, reason)


@pytest.mark.parametrize("verdict", [UNREACHABLE, CHANGED])
def test_a_photo_that_was_not_read_stays_pending(verdict: str) -> None:
    assert not PhotoFaces(None, verdict).is_final
    assert verdict not in set(PhotoReason)


def test_a_photo_with_faces_is_final_and_needs_no_reason() -> None:
    photo = PhotoFaces(make_faces(2, 128, 1))
    assert (photo.is_final, photo.reason) == (True, None)
