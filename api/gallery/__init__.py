"""The gallery for guests: an event's photos, search by selfie, and downloads.

Promise: a page shows nothing but what its event's guests may see. Pages are rendered on the server,
without a build step.

Where do I go to…?
    change who comes in, and what they see   access.py, face_tokens.py
    change a page                            pages.py
    change the PIN, consents, the live state guests.py
    change how pictures are sent             pictures.py, conditional.py
    change how zips are sent                 photos.py, archive.py
    change headers, or failures' pages       rendering.py
    change a sentence or a plural form       languages/
    change how a page looks                  templates/, static/; looks.py: what an event adds
"""

from fastapi import APIRouter

from api.gallery import guests, pages, photos, pictures

router = APIRouter(include_in_schema=False)
router.include_router(pages.router)
router.include_router(photos.router)
router.include_router(guests.router)
# Apart, not counted: a page asks these by itself, and a venue's guests have one address.
pictures_router = APIRouter(include_in_schema=False)
pictures_router.include_router(pictures.router)
pictures_router.include_router(pages.asked_router)
pictures_router.include_router(guests.asked_router)

__all__ = ["pictures_router", "router"]
