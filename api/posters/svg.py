"""A poster as SVG: letters are outlines, so that it prints alike everywhere."""

from base64 import b64encode
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from api.posters.code import list_bars
from api.posters.fonts import outline, write_number
from api.posters.layout import RULE, Box, Layout


def draw_svg(layout: Layout) -> str:
    """The whole document."""
    sheet, poster = layout.sheet, layout.poster
    spoken = " ".join([*poster.facts, poster.call, poster.address, poster.hint, poster.notice])
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" lang="{poster.language}" role="img" '
            f'width="{sheet.width}mm" height="{sheet.height}mm" '
            f'viewBox="0 0 {sheet.width} {sheet.height}">',
            f"<title>{escape(poster.title)}</title>",
            f"<desc>{escape(spoken)}</desc>",
            f'<rect width="{sheet.width}" height="{sheet.height}" fill="#fff"/>',
            *_draw_parts(layout),
            "</svg>\n",
        ]
    )


def _draw_parts(layout: Layout) -> Iterator[str]:
    if layout.logo and layout.poster.logo:
        data = b64encode(layout.poster.logo).decode()
        yield f'<image {_write_box(layout.logo)} href="data:image/webp;base64,{data}"/>'
    if layout.bar:
        yield f'<rect {_write_box(layout.bar)} fill="{layout.poster.accent or RULE}"/>'
    for line in layout.lines:
        path = outline(line.text, line.x, line.y, line.size, line.bold)
        yield f'<path fill="{line.colour}" d={quoteattr(path)}/>'
    bars = "".join(
        f"M{write_number(bar.x)} {write_number(bar.y)}h{write_number(bar.width)}"
        f"v{write_number(bar.height)}h-{write_number(bar.width)}z"
        for bar in list_bars(layout.poster.link, layout.code)
    )
    yield f'<path fill="#000" d="{bars}"/>'


def _write_box(box: Box) -> str:
    return " ".join(
        f'{name}="{write_number(getattr(box, name))}"' for name in ("x", "y", "width", "height")
    )
