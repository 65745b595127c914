"""The gallery for guests: an event's photos, search by selfie, and downloads.

Promise: a page shows nothing but the event's name and its photos. Photos come from S3 by signed
links that soon expire, except in a zip. Pages are rendered on the server, without a build step.

Where do I go to…?
    change a route or a page's headers  pages.py
    change a sentence or a plural form  languages/
    change how a page looks             templates/, static/
    change what is in a zip             archive.py
"""

from api.gallery.pages import router

__all__ = ["router"]
