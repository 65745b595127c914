"""Findings of a sync besides its faces: false rate, previews that lie, what was left out, in words.

Two faces in one photo are two people, so an event measures by itself how often two people look
alike: from the similarities of all pairs of faces that share a photo.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from models.keys import ORIGINAL_KINDS, FileKind

BINS = 200  # of a histogram of cosine similarities, from -1 to 1
# From here on a pair is one face met twice: in a mirror, on a screen, in a collage, or detected
# twice. With SFace on LFW mirror images lie at 0.92 and above, 80,000 pairs of different people
# below 0.48. Two shots of one person lie between (a tenth of them above 0.8): where a photo holds
# both they raise the threshold, and `surely` bounds that.
SAME_PERSON = 0.8
ODDS = 1_000
# So that three pairs decide what one in a thousand is, and a single odd pair does not.
LEAST_PAIRS = 3 * ODDS

# Files that are left out, in the order in which they are told: one of a kind, and several. The last
# two are of a folder on disk (deployments/push/folder.py).
_KINDS: dict[str, tuple[str, str]] = {
    FileKind.HEIC: ("HEIC file", "HEIC files"),
    FileKind.AVIF: ("AVIF file", "AVIF files"),
    FileKind.TIFF: ("TIFF file", "TIFF files"),
    FileKind.RAW: ("RAW file", "RAW files"),
    "raw_pair": ("RAW file beside its photo", "RAW files beside their photos"),
    FileKind.VIDEO: ("video", "videos"),
    FileKind.OTHER_PICTURE: ("picture of another format", "pictures of other formats"),
    FileKind.OTHER: ("other file", "other files"),
    FileKind.HIDDEN: ("hidden file", "hidden files"),
    "link": ("link", "links"),
    "unnameable": ("photo whose name is no text", "photos whose names are no text"),
}


@dataclass(frozen=True)
class FalseRate:
    """An event's false rate: of its `pairs` of different people one in 1,000 at most is as similar.

    per_thousand_above: the cosine similarity, rounded up to a hundredth.
    """

    pairs: int
    per_thousand_above: float

    @classmethod
    def from_counts(cls, counts: Sequence[int]) -> Self | None:
        """The false rate that a histogram of BINS counts shows; None where it has too few pairs."""
        counts = counts[: round((SAME_PERSON + 1) * BINS / 2)]
        pairs = sum(counts)
        if pairs < LEAST_PAIRS:
            return None
        bin_, above = len(counts), 0
        while (above := above + counts[bin_ - 1]) <= pairs // ODDS:
            bin_ -= 1
        return cls(pairs, round(bin_ * 2 / BINS - 1, 2))


def raise_threshold(lowest: float, surely: float, rate: FalseRate | None) -> float:
    """The search threshold `lowest`, raised to what the event shows, but never above `surely`."""
    if rate is None:
        return lowest
    return max(lowest, min(rate.per_thousand_above, surely))


def choose_told(counts: Mapping[str, int]) -> dict[str, int]:
    """What is told of files that were left out: all kinds but what systems keep beside photos."""
    return {str(kind): number for kind, number in counts.items() if kind != FileKind.HIDDEN}


def list_kinds(counts: Mapping[str, int]) -> str:
    """Files in words, by kind: "3 HEIC files, 1 RAW file and 2 videos"; "" where there are none.

    A kind that only another release knows counts as any other file.
    """
    known = Counter[str]()
    for kind, number in counts.items():
        known[kind if kind in _KINDS else FileKind.OTHER] += number
    return _join(
        f"{known[kind]} {one if known[kind] == 1 else several}"
        for kind, (one, several) in _KINDS.items()
        if known[kind]
    )


def tell_left_out(counts: Mapping[str, int]) -> str:
    """The same as a sentence, without its full stop."""
    were = "was" if sum(counts.values()) == 1 else "were"
    return f"{listed} {were} left out" if (listed := list_kinds(counts)) else ""


def advise_left_out(counts: Mapping[str, int]) -> Iterator[str]:
    """Sentences that say what can be done about them."""
    kinds = {kind for kind, number in counts.items() if number}
    if FileKind.OTHER_PICTURE in kinds:
        yield "Export pictures of other formats as JPEG."
    if "unnameable" in kinds:
        yield "Rename photos whose names are no text."


def tell_synced(new: int, updated: int) -> str:
    """What a sync read, in the guide's words; photos read anew only where there are any."""
    anew = f"; {updated} read anew" if updated else ""
    return f"Successfully synced {new} new photos{anew}"


def join_message(news: str, ignored: Mapping[str, int], missing_originals: int = 0) -> str:
    """A result's message: the news, then what needs an eye, where there is any."""
    missing = f"{_count_missing(missing_originals)} no original" if missing_originals else ""
    return "; ".join(filter(None, [news, missing, tell_left_out(ignored)]))


def _count_missing(photos: int) -> str:
    return "1 photo has" if photos == 1 else f"{photos} photos have"


def _join(words: Iterable[str]) -> str:
    *first, last = [*words] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def tell_findings(result: Mapping[str, Any]) -> Iterator[str]:
    """A result's findings in sentences, with what to do; none for one of a release before them."""
    if told := tell_left_out(ignored := result.get("ignored", {})):
        yield " ".join([f"{told}.", *_advise_originals(ignored), *advise_left_out(ignored)])
    if missing := result.get("missing_originals"):
        yield (
            f"{_count_missing(missing)} no original for guests to download: upload originals "
            "under the names of their previews."
        )
    if lying := result.get("lying_previews"):
        previews = "1 preview lies" if lying == 1 else f"{lying} previews lie"
        yield (
            f"{previews} on a side or upside down: apply EXIF's orientation when you make previews "
            "(with Pillow: ImageOps.exif_transpose), or leave them to `facepass push` or "
            "make_previews. The faces are found all the same."
        )
    if rate := result.get("false_rate"):
        yield (
            "In this event 1 pair of different people in 1,000 looks alike above "
            f"{rate['per_thousand_above']:.2f}."
        )


def _advise_originals(ignored: Mapping[str, int]) -> Iterator[str]:
    decodable = ORIGINAL_KINDS & ignored.keys()
    if names := [several for kind, (_, several) in _KINDS.items() if kind in decodable]:
        yield (
            f"Upload {_join(names)} as originals: make_previews and `facepass push` make previews "
            "of them."
        )


def describe_findings(rate: FalseRate | None, lying_previews: int) -> dict[str, Any]:
    """The fields of a result."""
    return {"lying_previews": lying_previews, "false_rate": asdict(rate) if rate else None}
