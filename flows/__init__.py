"""The order of steps, readable in one look. No I/O of its own: every step is in tasks/.

Where do I go to…?
    the sync of one event              sync_event_photos.py
    previews of an event's originals   make_previews.py
    the scheduled sync of all events   resync_events.py
    changing an event's model          reembed_event.py
    erasing an event's faces           erase_event.py
    erasing what is old enough         erase_expired.py
    pruning cached results             prune_results.py
"""
