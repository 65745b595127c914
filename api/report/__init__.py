"""The photographer's report: a page that a signed link opens for an hour, and openings of photos.

Where do I go to…?
    change who may open it             links.py
    change what the page shows or does pages.py
    change how openings are counted    openings.py
"""
