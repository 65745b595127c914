"""Everything about stored data: tables, sessions, queries, migrations; also settings and errors.

Promise: SQL is only in this folder. Nothing in this folder imports another top-level folder.

Where do I go to…?
    change a setting              settings.py
    add an error a user can meet  errors.py
    add a word of a fixed list    vocabulary.py (statuses, reasons, states, profiles)
    change a profile of events    packs.py
    change a table                tables.py, then add a file in migrations/versions/
    name a key or prefix in S3    keys.py
    keep values out of any log    copying.py
    say what a sync found out     findings.py
    see how dedup decides         queries/plans.py (grep for s3_key)
    add or change a query         queries/
"""
