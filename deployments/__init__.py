"""Everything that is run: the command, Prefect's deployments, the embedded stack, the push tool.

Promise: nobody outside this folder talks to Prefect about runs, states or deployments.

Where do I go to…?
    add a subcommand                   facepass.py
    name a deployment or pool          names.py and ../prefect.yaml
    start, read or end a flow run      orchestrator.py
    be notified of failed runs         automations/sync_failures.yaml
    share results between machines     result_storage.py
    tell a Prefect server of a release register.py
    change what runs in containers     Dockerfile, compose.yaml, probe.py
    change what `make up` starts       stack/
    change what `make demo` shows      demo.py, sample_photos.py
    change how photos are pushed       push/
"""
