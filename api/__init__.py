"""The REST API and the guests' gallery.

Promise: a route validates, calls and returns; it uses no SQL, no table and no Prefect. The API
starts without onnxruntime.

Where do I go to…?
    start the API                         __main__.py (python -m api)
    add or change a route                 routes/
    change the guests' page               gallery/
    change the photographer's report      report/
    read what stores tell               hooks/
    change an answer's shape              schemas.py
    see which status and code an error gets   errors.py
    see who may call, and how often       security.py
    see what every call passes through    app.py, then middleware.py
    change the log's lines                logs/
    change /docs                          reference/
    see how a flow run is started         starts.py
    see how dead runs are closed          reconcile.py
    see how webhooks are delivered        webhooks.py
    see what is measured                  metrics.py
"""
