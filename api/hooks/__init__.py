"""Notifications of object stores, which say that photos were uploaded or deleted.

Where do I go to…?
    read another store's form           notifications.py
    see when SNS is believed            sns.py
    see how few syncs many uploads ask  uploads.py
"""
