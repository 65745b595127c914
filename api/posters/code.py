"""The QR code of a poster, as bars of dark modules."""

from collections.abc import Iterator
from itertools import groupby

from api.posters.layout import Box

QUIET_ZONE = 4  # modules, as the standard asks for on paper
OVERLAP = 0.02  # mm: rows that only touch are parted by hairlines in some viewers


def list_bars(link: str, place: Box) -> Iterator[Box]:
    """The dark modules of each row, neighbours joined; the quiet zone is within the place."""
    import segno

    # Level M stands 15 % of damage: folds, drops, a thumb. UTF-8 is what phones take for granted.
    code = segno.make_qr(link, error="m", encoding="utf-8")
    rows = [list(row) for row in code.matrix_iter(border=QUIET_ZONE)]
    module = place.width / len(rows)
    for number, row in enumerate(rows):
        begin = 0
        for is_dark, run in groupby(row):
            length = len(list(run))
            if is_dark:
                x, y = place.x + begin * module, place.y + number * module
                yield Box(x, y, length * module, module + OVERLAP)
            begin += length
