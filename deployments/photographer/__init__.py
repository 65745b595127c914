"""The commands that tell a photographer of their events: all of them through the REST API.

Where do I go to…?
    change how an event is found by its name   target.py
    change what a command prints               commands.py
    change the report                          report.py
"""
