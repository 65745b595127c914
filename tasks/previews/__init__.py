"""Previews for photographers who upload only originals.

Where do I go to…?
    see which originals lack a preview      find.py
    see how a preview is made and put       make.py
    see how such a run begins and ends      job.py
    see the steps, and what the UI shows    steps.py
"""
