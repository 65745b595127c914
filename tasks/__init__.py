"""Units of work: S3, the face engine, recording. A `@task` is a thin boundary over a function.

Promise: a decoded photo never leaves the process that decoded it; what travels between steps is
keys, ETags and counts.

Where do I go to…?
    change how a sync works                     sync/
    change how missing previews are made        previews/
    see what is cached, pruned and erased       results/
    change how faces are found                  faces/
    add a model pack                            packs/
    see which photos are refused, and why       images/
    see how S3 is read and written              s3/
    see how a selfie is searched with           search.py
"""
