"""Queries for what is made for guests.

Where do I go to…?
    photos whose views have to be made or deleted    views.py
"""
