"""Forms: what a person fills in to start a run in Prefect's UI, and the event that it names.

Where do I go to…?
    change a form's parameters, or how they are read    event.py
"""
