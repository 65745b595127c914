"""The embedded stack: PostgreSQL, S3, Prefect, a worker and the API as children of one process.

Promise: what is configured from outside is used, all else is brought along on loopback; when the
stack ends, however it ends, nothing of it keeps running.

Where do I go to…?
    use the stack from Python                       stack.py
    see the order in which things start and stop    stack.py
    change who decides what is embedded             plan.py
    change what children and joiners are told       plan.py
    change how a child is started, asked, killed    process.py
    add a file to the home folder                   home.py
    change what happens when the disk is full       home.py
    change PostgreSQL's folder, user and programs   postgres.py
    change the S3 server's flags                    s3.py
    change Prefect's server, worker and work pool   prefect.py
    change what `make up` prints                    __main__.py
"""
