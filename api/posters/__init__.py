"""Posters and table cards that bring guests to an event's gallery: SVG and PDF.

Promise: both show the same, and nothing secret: neither a PIN nor a photo. They need no font and no
file of the reader's. In fonts/ is DejaVu Sans, reduced, with its licence.

Where do I go to…?
    change what a poster says             content.py; its sentences: ../gallery/languages/
    change sizes and places               layout.py
    add a size of paper                   layout.py
    change how letters are measured       fonts.py
    change how it is drawn                svg.py, pdf.py
"""
