"""HTTP in, run id or answer out. Routes validate, call, return.

Promise: no SQL and no Prefect in a route; the sync API starts without onnxruntime.

Where do I go to…?
    start the API                        __main__.py (python -m api)
    add or change a route                routes/
    change the guests' page              gallery/
    change an answer's shape             schemas.py
    see how an error becomes a status    errors.py
    see who is let in, and how often     security.py
    see what a call passes on its way in app.py, then middleware.py
    see how runs that died are closed    reconcile.py
    see how ended syncs are told         webhooks.py
    see what is measured                 metrics.py
"""
