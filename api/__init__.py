"""HTTP in, run id or answer out. Routes validate, call, return.

Promise: no SQL and no Prefect in a route; the sync API starts without onnxruntime.

Where do I go to…?
    start the API                        __main__.py (python -m api)
    change an answer's shape             schemas.py
    see how an error becomes a status    errors.py
    see how a sync's state is told       sync_status.py
    change the guests' page              gallery/
"""
