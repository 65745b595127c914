"""Views of photos: the pictures that guests look at, made from the originals after a sync.

Where do I go to…?
    see what is made and deleted, and when       find.py
    see how one photo's views are made and put   make.py
    see such a run's steps, and its report       job.py
"""
