"""The push tool, `facepass push`: a photographer's folder on disk becomes an event's gallery.

Promise: what is in the folder is in the event's part of S3 afterwards, each photo once, under the
same key from every machine; nothing outside the folder's own source is ever touched there.

Where do I go to…?
    change an option                               ../facepass.py
    change an exit code                            command.py
    see the steps, one after the other             push.py
    see how the API is called                      client.py
    see how an event is found, and synced          event.py
    see which files are photos, under which keys   folder.py
    see what is deleted, and when that is refused  mirror.py
    see what is sent, and what is not sent again   upload.py
    change what the photographer sees              report.py
    make the picture in the README anew            ../../docs/tools/push_picture.py
"""
