"""Notices: guests who wish it are told of new photos in which they surely are.

Where do I go to…?
    change who is told of what, and when     tell.py, find.py, due.py
    change the words of a message            letters.py
    change how mail is sent                  mail.py
    change which addresses guests may leave  channel.py
    change the links in messages             links.py
"""
