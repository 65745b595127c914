"""The API's log: where its lines go, and how they look.

Where do I go to…?
    see which loggers are heard      config.py
    change the lines for machines    json_lines.py
"""
