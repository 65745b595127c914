"""The REST routes, one module a subject.

Where do I go to…?
    start a sync, and see how it goes    runs.py
    start previews or a reembedding      runs.py
    add, list or change events           events.py
    erase faces, and resume an event     erasure.py
    search with a selfie                 search.py
    see what /health and /ready ask      health.py
"""
