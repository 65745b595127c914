"""The guests' page: an event's photos, "find me", downloads. Server-rendered, no build step.

Promise: a page gives away nothing but the event's name and photos; photos come from S3 by links
signed for a short time, except in a zip.

Where do I go to…?
    change a route, or a page's headers  pages.py
    change a word, or a plural           languages/
    change how it looks                  templates/, static/
    change what is in a zip              archive.py
"""

from api.gallery.pages import router

__all__ = ["router"]
