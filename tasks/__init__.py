"""The work of the product: reading S3, making previews, finding faces, storing and searching them.

Promise: a decoded photo never leaves the process that decoded it; the steps of a flow pass on
keys, ETags and counts.

Where do I go to…?
    change how a sync works                     sync/
    change how missing previews are made        previews/
    see what is cached, pruned and erased       results/
    change how faces are found                  faces/
    add a model pack                            packs/
    see which photos are refused, and why       images/
    measure how right it is                     accuracy/
    see how S3 is read and written              s3/
    see how a guest's selfie is searched        search.py
"""
