"""`facepass push`: a photographer's folder on disk becomes an event's gallery.

Promise: what is in the folder is in the event's part of S3 afterwards, each photo once, under the
same key from every machine; nothing outside the folder's own source is ever touched there.

Where do I go to…?
    change an option or an exit code               command.py
    see the steps, one after the other             steps.py
    see where the API and S3 are found             place.py
    see how an event is found by its name          rest.py, events.py
    see which files are photos                     scan.py
    see which key a file gets                      source.py, names.py
    see what is deleted, and when that is refused  mirror.py
    see what is sent, and what is not sent again   photo.py, transfer.py
    see how previews are made, in how much memory  preview.py
    change what the photographer sees              screen.py, report.py, sync.py
    make the picture in the README anew            picture.py
"""
