"""The upload of a folder of photos to an event (`facepass push`).

Promise: afterwards the event's part of S3 has each photo of the folder once, under the same key
from every machine. Each folder has its own source (a folder in S3), and nothing outside it changes.

Where do I go to…?
    change an option                               ../facepass.py
    change an exit code                            command.py
    see the steps in order                         push.py
    see how the API is called                      client.py
    see how an event is found and synced           event.py
    see which files are photos, and their keys     folder.py
    see what is deleted, and when that is refused  mirror.py
    see what is sent, and what is not sent again   upload.py
    see when a sync is asked for meanwhile         live.py
    see how a folder is watched                    watch.py
    change what the photographer sees              report.py
    make the picture of docs/push.md               ../../docs/tools/push_picture.py
"""
