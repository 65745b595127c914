"""Cached faces of batches: where they are stored, and how they are pruned and erased.

Where do I go to…?
    see where results are, and their keys   storage.py
    see which results are believed          signed.py
    see when old results are deleted        prune.py
    see how an event's faces are erased     erasure.py
    see how an event is deleted             deletion.py
"""
