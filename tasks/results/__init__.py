"""Cached faces: where they lie, when they are pruned, and how they are erased.

Where do I go to…?
    see where results lie, and their keys   storage.py
    see when old results are deleted        prune.py
    see how an event's faces are erased     erasure.py
"""
