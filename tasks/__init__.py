"""Units of work: S3, the face engine, recording. A `@task` is a thin boundary over a function.

Promise: a decoded photo never leaves the process that decoded it; what travels between steps is
keys, ETags and counts.

Where do I go to…?
    see how S3 is listed and read                    storage.py, s3_session.py
    see how missing previews are found and made      preview_work.py, preview_making.py
    see which previews are ours, and replaced        preview_store.py
    see how S3 is written to                         uploads.py
    see what S3's refusals mean                      s3_errors.py
    see which photos are refused, and why            photos.py
    change how faces are found                       engine.py
    see which engines a process keeps                engines.py
    see how a selfie is searched with                search.py, selfie.py, close_ups.py
    change from when on a face is shown              thresholds.py
    see how guests' links are signed                 links.py
    see how a zip's originals are read               originals.py
    add a model pack                                 packs.py, pack_install.py, pack_loading.py
    see what is cached, under which key, and where   embed.py, result_storage.py
    see what is stored when                          batches.py
    see how many batches are in flight, and where    in_flight.py, task_runner.py, dask_runner.py
    see how an event's model is changed              reembed.py
    see who may sync an event, and how a sync ends   turns.py, hold.py
    see why a sync outlives its worker               console.py
    change what Prefect's UI shows of a sync         artifacts.py, pace.py, naming.py
    see when old results are deleted                 prune.py
    see how faces are erased, and when by themselves  erasure.py, retention.py
"""
