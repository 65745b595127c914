"""Prefect flows: each shows the order of its steps at one look. The work is done in tasks/.

Where do I go to…?
    the sync of one event                      sync_event_photos.py
    previews of an event's originals           make_previews.py
    thumbs and views for guests                make_views.py
    the scheduled sync of all active events    resync_events.py
    changing an event's model                  reembed_event.py
    erasing an event's faces                   erase_event.py
    erasing events whose retention is over     erase_expired.py
    deleting expired results                   prune_results.py
"""
