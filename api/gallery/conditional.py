"""Conditional and partial requests (RFC 9110): If-None-Match, If-Range and Range.

The functions only compare headers; sizes and ETags are the caller's.
"""

import re

_ETAG = re.compile(r'(?:W/)?("[^"]*")')
# One range; of several, which no player or download manager needs, all bytes are sent.
_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether the caller has what this ETag names: then 304 is all it needs."""
    if if_none_match is None:
        return False
    known = _ETAG.findall(if_none_match)
    return if_none_match.strip() == "*" or etag.removeprefix("W/") in known


def read_range(header: str | None, if_range: str | None, etag: str, size: int) -> range | None:
    """The bytes that were asked for; None for all of them, an empty range for 416.

    if_range: what the caller has the beginning of; of anything else it needs all. A date there is
    never the ETag, and so asks for all, too.
    """
    found = _RANGE.fullmatch(header or "")
    if found is None or (if_range is not None and if_range != etag):
        return None
    first, last = found.groups()
    if first:
        if last and int(last) < int(first):
            return None
        return range(int(first), min(int(last) + 1 if last else size, size))
    return range(max(0, size - int(last)), size) if last else None
