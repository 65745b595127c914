"""Which name in S3 a file gets: the same tree gives the same names, and no two files share one."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from hashlib import sha256
from itertools import count
from unicodedata import normalize

LONG_STEM_BYTES = 100
_UNKEPT = re.compile(r"[\\\x00-\x1f\x7f]")


def compose(text: str) -> str:
    """One spelling for "ё" and "й", which macOS writes as two characters each (NFC)."""
    return normalize("NFC", text)


def clean_name(relative: str) -> str:
    """The path as every S3 server keeps it: composed, without line ends and such.

    Some make a slash of a backslash, so that it comes back from a listing as another name.
    """
    return _UNKEPT.sub("_", compose(relative))


def assign_names(relatives: Iterable[str], max_bytes: int) -> dict[str, str]:
    """Path below the folder -> name below the source: the path itself, cleaned.

    Where two paths become one, or where it has more than `max_bytes`, a digest of the path
    keeps them apart.
    """
    claims: dict[str, list[str]] = defaultdict(list)
    for relative in relatives:
        claims[clean_name(relative)].append(relative)
    names: dict[str, str] = {}
    others: list[str] = []
    for name, claimants in claims.items():
        owner = name if name in claimants or len(claimants) > 1 else claimants[0]
        if len(name.encode()) <= max_bytes and owner in claimants:
            names[owner] = name
        others += [relative for relative in claimants if relative not in names]
    taken = set(names.values())
    for relative in sorted(others):
        names[relative] = _make_name(relative, max_bytes, taken)
        taken.add(names[relative])
    return names


def shorten(text: str, max_bytes: int) -> str:
    """So much of a text as fits, without half a character at its end."""
    return text.encode()[:max_bytes].decode("utf-8", "ignore")


def _make_name(relative: str, max_bytes: int, taken: set[str]) -> str:
    return next(name for name in _try_names(relative, max_bytes) if name not in taken)


def _try_names(relative: str, max_bytes: int) -> Iterator[str]:
    stem, _, suffix = clean_name(relative).rpartition(".")
    for attempt in count():
        mark = sha256(f"{attempt}/{relative}".encode()).hexdigest()[:16]
        name = f"{stem}~{mark}.{suffix}"
        if len(name.encode()) > max_bytes:
            name = f"{shorten(stem.rpartition('/')[2], LONG_STEM_BYTES)}~{mark}.{suffix}"
        yield name
