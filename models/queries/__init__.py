"""All database queries, one module for each subject. Each query runs in the caller's session.

Rows are locked in one order, so that no two transactions wait for each other: the event's row, then
runs and photos. Whoever changes photos has the event's row; stores share it, have no photo in
common, and take their run's row last. Who takes a run's row alone takes nothing after it.

Where do I go to…?
    find, add or lock an event         events.py
    see how dedup decides              plans.py (grep for s3_key)
    see what is stored of a photo      outcomes.py
    see how a run's record changes     runs.py (attempts, heartbeats, counts)
    see how faces are searched         search.py
    see how packs get their numbers,
      and how alike people look        packs.py
    say which photos guests see        photos.py
    see how a model is changed         reembeds.py
    see what an erasure changes        erasures.py
    see how webhooks are queued        webhooks.py
    see what /metrics counts           statistics.py
"""
