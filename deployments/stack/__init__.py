"""The embedded stack: PostgreSQL, S3, Prefect, a worker and the API as children of one process.

Promise: what is configured from outside is used, all else is brought along on loopback; when the
stack ends, however it ends, nothing of it keeps running.

Where do I go to…?
    use the stack from Python                       stack.py
    see the order in which things start and stop    stack.py, bring_up.py
    change who decides what is embedded             plan.py
    change what children and joiners are told       environment.py
    change how a child is started, asked, killed    parts.py
    change what is shown of a dead part's log       log_tail.py
    find and end processes that were left behind    processes.py, home.py
    add a file to the home folder                   home.py
    change what happens when the disk is full       disk.py
    change PostgreSQL's place and user              postgres_cluster.py
    change what must hold before it starts          postgres_folders.py
    change PostgreSQL's programs and databases      postgres.py
    change the S3 server's flags                    s3.py
    change Prefect's server, deployment, worker     prefect_parts.py
    change the bucket, or how S3 is asked           s3_client.py
    change the work pool                            prefect_client.py
    change how the API is started                   api_part.py
    change what `make up` prints                    __main__.py
"""
