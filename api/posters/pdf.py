"""A poster as PDF: its text can be searched and read aloud, its letters are within the file."""

from io import BytesIO

from api.posters.code import list_bars
from api.posters.fonts import FILES
from api.posters.layout import RULE, Layout

FAMILY = "DejaVuSans"


def draw_pdf(layout: Layout) -> bytes:
    """The whole document."""
    from fpdf import FPDF

    sheet, poster = layout.sheet, layout.poster
    pdf = FPDF(unit="mm", format=(sheet.width, sheet.height))
    pdf.set_auto_page_break(False)
    pdf.set_title(poster.title)
    pdf.set_lang(poster.language)
    pdf.add_page()
    for bold, file in FILES.items():
        pdf.add_font(FAMILY, "B" if bold else "", file)
    if layout.logo and poster.logo:
        box = layout.logo
        logo = BytesIO(poster.logo)
        pdf.image(logo, box.x, box.y, box.width, box.height, keep_aspect_ratio=True)
    if layout.bar:
        pdf.set_fill_color(poster.accent or RULE)
        pdf.rect(layout.bar.x, layout.bar.y, layout.bar.width, layout.bar.height, "F")
    for line in layout.lines:
        pdf.set_font(FAMILY, "B" if line.bold else "", line.size)
        pdf.set_text_color(line.colour)
        pdf.text(line.x, line.y, line.text)
    pdf.set_fill_color(0)
    for bar in list_bars(poster.link, layout.code):
        pdf.rect(bar.x, bar.y, bar.width, bar.height, "F")
    return bytes(pdf.output())
