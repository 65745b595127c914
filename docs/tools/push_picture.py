"""`python -m docs.tools.push_picture FILE.svg`: the picture of docs/push.md, from a real push.

Needs a running `make up`; pushes sample photos as the card of an invented event.
"""

import re
import sys
import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from deployments.push.command import push_folder
from deployments.push.push import Options
from deployments.sample_photos import make_sample_photos

EVENT = "Свадьба Анны и Ильи"
CARD = "Карта A"
WIDTH = 100


def main() -> int:
    """Push, and draw what the terminal showed: the push's exit code."""
    console = Console(
        file=sys.stderr, record=True, width=WIDTH, force_terminal=False, highlight=False
    )
    with tempfile.TemporaryDirectory() as folder:
        card = Path(folder) / CARD
        fill_card(card)
        console.print(f'$ facepass push "{CARD}" --event "{EVENT}"', markup=False)
        link = StringIO()
        with redirect_stdout(link):
            code = push_folder(Options(card, EVENT), as_json=False, console=console)
        console.print(link.getvalue().strip(), markup=False)
    Path(sys.argv[1]).write_text(draw(console), "utf-8")
    return code


def fill_card(card: Path) -> None:
    """What a camera leaves on a card: photos, their RAW files, a video."""
    (card / "DCIM").mkdir(parents=True)
    for number, photo in enumerate(make_sample_photos(), 1):
        (card / "DCIM" / f"IMG_{number:04d}.JPG").write_bytes(photo.original)
        (card / "DCIM" / f"IMG_{number:04d}.CR3").touch()
    (card / "DCIM" / "MVI_0001.MP4").touch()


def draw(console: Console) -> str:
    """The recorded lines as SVG, without the web fonts that a page on GitHub does not load."""
    svg = console.export_svg(title="facepass push", theme=MONOKAI, unique_id="push")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    sys.exit(main())
