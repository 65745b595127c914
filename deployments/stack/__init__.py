"""The embedded stack: PostgreSQL, S3, Prefect, a worker and the API as children of one process.

Promise: what is configured from outside is used, all else is brought along on loopback; when the
stack ends, however it ends, nothing of it keeps running.

Where do I go to…?
    see the order in which things start and stop   stack.py
    change how a child is started, asked, killed    parts.py
    change PostgreSQL's start                       postgres.py, postgres_folders.py
    change who decides what is embedded             plan.py
    change the S3 server's flags                    s3.py
    change Prefect's server, pool, worker           prefect_parts.py
    change what `make up` prints                    __main__.py
    add a file to the home folder                   home.py
"""

from deployments.stack.signals import interrupt_on_signals
from deployments.stack.stack import EmbeddedStack

__all__ = ["EmbeddedStack", "interrupt_on_signals"]
