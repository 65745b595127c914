"""The order of steps, readable in one look. No I/O of its own: every step is in tasks/.

Where do I go to…?
    the sync of one event              sync_event_photos.py
    the scheduled sync of all events   resync_events.py
"""
