"""Photos truncated, with flipped bits and with holes, as broken uploads and disks leave them."""

import random
from collections.abc import Iterator

from benchmarks.hostile.files import HostileFile, encode_accepted

HEADER_CUTS = (1, 2, 3, 4, 8, 11, 12, 20, 29, 33, 60)
RANDOM_CUTS, FLIPPED, HOLES = 8, 8, 5


def list_truncated(chance: random.Random) -> Iterator[HostileFile]:
    """Cut in the header, and at random points."""
    for name, content in encode_accepted().items():
        cuts = [*HEADER_CUTS, *(chance.randrange(64, len(content)) for _ in range(RANDOM_CUTS))]
        for number, cut in enumerate(cuts):
            yield HostileFile("truncated", f"truncated/{number:02}_{name}", content[:cut])


def list_flipped(chance: random.Random) -> Iterator[HostileFile]:
    """From one flipped bit to a hundred; some in the header alone."""
    for name, content in encode_accepted().items():
        for number in range(FLIPPED):
            damaged = bytearray(content)
            reach = 64 if number % 4 == 0 else len(content)
            for _ in range(chance.choice((1, 3, 10, 100))):
                damaged[chance.randrange(reach)] ^= 1 << chance.randrange(8)
            yield HostileFile("bit-flipped", f"flipped/{number}_{name}", bytes(damaged))


def list_holes(chance: random.Random) -> Iterator[HostileFile]:
    """Zeros in place of a part, of all, or of nothing: empty files among them."""
    for name, content in encode_accepted().items():
        for number in range(HOLES):
            start = chance.randrange(len(content) // 2)
            size = chance.randrange(1, len(content) // 2)
            holed = content[:start] + bytes(size) + content[start + size :]
            yield HostileFile("zero bytes", f"holes/{number}_{name}", holed)
        yield HostileFile("zero bytes", f"holes/all_{name}", bytes(len(content)))
        yield HostileFile("empty", f"empty/{name}", b"")
