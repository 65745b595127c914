"""The local stack: PostgreSQL, S3, Prefect, a worker and the API as child processes of one process.

Promise: a server that the settings name is used; the stack starts every other one itself, and
PostgreSQL, S3 and Prefect then listen on this machine only. However the stack ends, none of its
processes keeps running.

Where do I go to…?
    use the stack from Python                            stack.py
    see the order in which things start and stop         stack.py
    change which servers the stack starts itself         plan.py
    change the environment of children and other tools   plan.py
    choose or check a port                               ports.py
    change what phones of the network reach              lan.py
    change how a child is started, watched, killed       process.py
    add a file to the home folder                        home.py
    change what happens when the disk is full            home.py
    change PostgreSQL's folder, user and programs        postgres.py
    change the S3 server's flags                         s3.py
    change Prefect's server, worker and work pool        prefect.py
    change what `make up` prints                         __main__.py
"""
