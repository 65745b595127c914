"""The REST API and the guests' gallery. Routes validate, call, return.

Promise: no SQL, no table and no Prefect in a route; the API starts without onnxruntime.

Where do I go to…?
    start the API                        __main__.py (python -m api)
    add or change a route                routes/
    change the guests' page              gallery/
    change an answer's shape             schemas.py
    see how an error becomes a status    errors.py
    see who is let in, and how often     security.py
    see what a call passes on its way in app.py, then middleware.py
    see how a run is started             starts.py
    see how runs that died are closed    reconcile.py
    see how webhooks are delivered       webhooks.py
    see what is measured                 metrics.py
"""
