"""Previews for photographers who upload only originals.

Where do I go to…?
    see which originals lack a preview       find.py
    see how a preview is made and put        make.py
    see such a run's steps, and its report   job.py
"""
