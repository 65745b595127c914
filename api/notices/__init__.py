"""Notices of new photos, as guests ask for them, confirm them and withdraw.

Promise: nothing here tells whose address is known. A message goes out before anything else is sent
to an address, and a withdrawal needs one press of a button.

Where do I go to…?
    change how guests subscribe              subscribing.py
    change the page in every message         page.py
"""

from fastapi import APIRouter

from api.notices import page, subscribing

router = APIRouter(include_in_schema=False)
router.include_router(page.router)
router.include_router(subscribing.router)

__all__ = ["router"]
