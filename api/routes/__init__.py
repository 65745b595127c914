"""The REST routes, one module for each subject.

Where do I go to…?
    start a sync or read its state      runs.py
    start previews or a reembedding     runs.py
    add, list or change events          events.py
    take a store's notification         hooks.py
    erase faces, or resume an event     erasure.py
    search with a selfie                search.py
    change a logo, settle a request     guests.py
    see what /health and /ready check   health.py
"""
