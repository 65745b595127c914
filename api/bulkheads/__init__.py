"""Bulkheads: each kind of work has threads, places and time limits of its own.

Promise: a neighbour that stands still (PostgreSQL, Prefect, S3) keeps those waiting who need it,
no longer than their limit, and nobody else. What is too much is refused at once, with a sentence.

Where do I go to…?
    see or change the limits of a kind  threads.py
    change the queue of searches        searches.py
    change how downloads are sent       downloads.py
"""
