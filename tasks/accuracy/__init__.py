"""The measuring of accuracy on photos of known people: `facepass accuracy FOLDER`.

Nothing it writes holds a photo, a person's name or an embedding.

Where do I go to…?
    change which folders are understood               folder.py
    change how photos are turned, cut and shrunk      views.py
    see how a search is computed here                 event.py
    change what is counted, or the thresholds' rule   rates.py
    change what is measured, and on which samples     measure.py, samples.py
    change the tables, the JSON or docs/accuracy.md   report.py, page.py, plot.py
    change the command itself                         __main__.py
"""
