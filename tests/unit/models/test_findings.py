"""What a sync finds out about its event: the false rate, by which the threshold rises, in words."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.findings import (
    BINS,
    LEAST_PAIRS,
    FalseRate,
    choose_told,
    describe_findings,
    join_message,
    list_kinds,
    raise_threshold,
    tell_findings,
    tell_left_out,
)
from models.keys import FileKind

HISTOGRAMS = st.lists(st.integers(0, 400), min_size=BINS, max_size=BINS)
SIMILARITIES = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
RATES = st.none() | SIMILARITIES.map(lambda similarity: FalseRate(9000, similarity))


def count(**pairs: int) -> list[int]:
    """A histogram; count(at_47=3): three pairs from 0.47 up to 0.48."""
    counts = [0] * BINS
    for name, number in pairs.items():
        counts[100 + int(name.removeprefix("at_"))] = number
    return counts


def count_from(counts: list[int], similarity: float) -> int:
    """Pairs of different people that are at least so similar."""
    return sum(counts[round((similarity + 1) * 100) : 180])


@given(HISTOGRAMS)
def test_at_most_one_pair_in_a_thousand_lies_above_and_more_a_hundredth_below(
    counts: list[int],
) -> None:
    rate = FalseRate.from_counts(counts)
    if rate is None:
        assert sum(counts[:180]) < LEAST_PAIRS
        return
    assert rate.pairs == sum(counts[:180])
    assert count_from(counts, rate.per_thousand_above) * 1000 <= rate.pairs
    assert count_from(counts, rate.per_thousand_above - 0.01) * 1000 > rate.pairs


@given(HISTOGRAMS, st.integers(0, 10**6))
def test_one_person_met_twice_in_photos_changes_nothing(counts: list[int], twice: int) -> None:
    mirrored = [*counts[:180], *(twice for _ in range(20))]
    assert FalseRate.from_counts(mirrored) == FalseRate.from_counts(counts)


def test_a_few_pairs_say_nothing_and_one_odd_pair_decides_nothing() -> None:
    assert FalseRate.from_counts([]) is None
    assert FalseRate.from_counts(count(at_10=LEAST_PAIRS - 1)) is None
    assert FalseRate.from_counts(count(at_10=LEAST_PAIRS)) == FalseRate(LEAST_PAIRS, 0.11)
    odd = FalseRate.from_counts(count(at_10=LEAST_PAIRS, at_79=1))
    assert odd == FalseRate(LEAST_PAIRS + 1, 0.11)


def test_its_edge_is_the_upper_one() -> None:
    counts = count(at_10=9990, at_46=1, at_47=4, at_60=6)
    assert FalseRate.from_counts(counts) == FalseRate(10001, 0.47)


@given(SIMILARITIES, SIMILARITIES, RATES)
def test_a_threshold_rises_to_the_rate_and_never_above_surely(
    lowest: float, surely: float, rate: FalseRate | None
) -> None:
    raised = raise_threshold(lowest, surely, rate)
    assert raised >= lowest
    assert raised <= max(lowest, surely)
    if rate is None:
        assert raised == lowest
    else:
        assert raised >= min(rate.per_thousand_above, surely)
        assert raised in {lowest, surely, rate.per_thousand_above}


@pytest.mark.parametrize(
    ("rate", "lying", "told"),
    [
        (None, 0, []),
        (FalseRate(9000, 0.4), 0, ["1 pair of different people in 1,000 looks alike above 0.40."]),
        (None, 1, ["1 preview lies on a side or upside down: apply EXIF's orientation"]),
        (FalseRate(9000, 0.47), 30, ["30 previews lie", "looks alike above 0.47."]),
    ],
)
def test_findings_are_told_in_sentences(
    rate: FalseRate | None, lying: int, told: list[str]
) -> None:
    result: dict[str, Any] = describe_findings(rate, lying)
    sentences = list(tell_findings(result))
    assert len(sentences) == len(told)
    assert all(part in sentence for part, sentence in zip(told, sentences, strict=True))


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, ""),
        ({"heic": 0}, ""),
        ({"heic": 1}, "1 HEIC file was left out"),
        ({"heic": 3}, "3 HEIC files were left out"),
        ({"video": 2, "heic": 1}, "1 HEIC file and 2 videos were left out"),
        ({"other": 1, "raw": 1}, "1 RAW file and 1 other file were left out"),
        (
            {"other_picture": 2, "tiff": 21, "avif": 1},
            "1 AVIF file, 21 TIFF files and 2 pictures of other formats were left out",
        ),
        ({"other_picture": 1}, "1 picture of another format was left out"),
        ({"a kind of tomorrow": 2, "other": 1}, "3 other files were left out"),
        (
            {"unnameable": 1, "link": 2, "hidden": 1},
            "1 hidden file, 2 links and 1 photo whose name is no text were left out",
        ),
    ],
)
def test_what_was_left_out_is_told_by_kind(counts: dict[str, int], words: str) -> None:
    assert tell_left_out(counts) == words


@given(st.dictionaries(st.sampled_from(FileKind), st.integers(0, 3)))
def test_every_kind_has_a_word_and_every_file_is_counted(counts: dict[FileKind, int]) -> None:
    counts.pop(FileKind.PHOTO, None)
    told = list_kinds(counts)
    assert sum(map(int, re.findall(r"\d+", told))) == sum(counts.values())
    assert len(re.findall(r"\d+", told)) == sum(map(bool, counts.values()))
    assert choose_told(counts) == {k.value: n for k, n in counts.items() if k != "hidden"}


@pytest.mark.parametrize(
    ("missing", "ignored", "message"),
    [
        (0, {}, "News"),
        (1, {}, "News; 1 photo has no original"),
        (8, {"heic": 3}, "News; 8 photos have no original; 3 HEIC files were left out"),
    ],
)
def test_a_message_tells_what_needs_an_eye(
    missing: int, ignored: dict[str, int], message: str
) -> None:
    assert join_message("News", ignored, missing) == message


def test_advice_fits_what_was_left_out() -> None:
    (note,) = tell_findings({"ignored": {"heic": 1, "raw": 2, "video": 1}})
    assert note == (
        "1 HEIC file, 2 RAW files and 1 video were left out. Upload HEIC files and RAW files as "
        "originals: make_previews and `facepass push` make previews of them."
    )
    assert list(tell_findings({"ignored": {"video": 1}})) == ["1 video was left out."]
    (note,) = tell_findings({"ignored": {"other_picture": 2}})
    assert note.endswith("left out. Export pictures of other formats as JPEG.")


def test_the_result_of_an_older_release_has_no_findings() -> None:
    assert list(tell_findings({"new_photos": 3})) == []
