"""Stored shapes: tables, sessions, queries, migrations, and the settings every room reads.

Promise: SQL lives here and nowhere else. Nothing in this folder imports another room.

Where do I go to…?
    change a setting              settings.py
    add an error a user can meet  errors.py
    change a table                tables.py, then a file in migrations/versions/
    see how dedup decides         plans.py (grep for s3_key)
    see how faces are searched    search.py
    add a selfie's refusal        selfies.py
    change a first batch's size   first_batch.py
    see what /metrics counts      statistics.py
    say which photos guests see   gallery.py
    see what an erasure changes   erasures.py
    see how a model is changed    reembeds.py, pack_switch.py
    see what is told of an ended sync  webhooks.py
"""
