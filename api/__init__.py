"""HTTP in, run id or answer out. Routes validate, call, return.

Promise: no SQL and no Prefect in a route; the sync API starts without onnxruntime.

Where do I go to…?
    start the API                        __main__.py (python -m api)
    change an answer's shape             schemas.py
    see what a guest's search takes      search.py, search_schemas.py, uploads.py
    see how an error becomes a status    errors.py
    erase faces, and resume an event     erasure.py
    change an event's model or profile   model_change.py
    see what a search waits for          engine_waits.py
    see how a sync's state is told       sync_status.py
    see what a call passes on its way in app.py, then local_only.py, body_limits.py, rate_limits.py
    see what is logged of a call         access_log.py
    see how notices of syncs are sent    deliveries.py, receiver.py
    change the guests' page              gallery/
"""
