"""The gallery for guests: an event's photos, search by selfie, and downloads.

Promise: a page shows nothing but what its event's guests may see. Pages are rendered on the server,
without a build step.

Where do I go to…?
    change who comes in, and what they see   access.py
    change a page or its live count          pages.py
    change how pictures and zips are sent    photos.py, archive.py
    change headers, or failures' pages       rendering.py
    change a sentence or a plural form       languages/
    change how a page looks                  templates/, static/; looks.py for what an event adds
"""

from fastapi import APIRouter

from api.gallery import pages, photos

router = APIRouter(prefix="/gallery", include_in_schema=False)
router.include_router(pages.router)
router.include_router(photos.router)

__all__ = ["router"]
