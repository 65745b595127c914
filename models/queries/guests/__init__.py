"""Queries for what concerns an event's guests besides its photos.

Where do I go to…?
    change consents, or guests' requests     wishes.py
    change an event's looks and access       looks.py
    change how openings are counted          openings.py
    change who is told of new photos         subscriptions.py
"""
