"""Everything that runs: the `facepass` command, Prefect's deployments, the local stack, the push.

Promise: only this folder asks Prefect's server about flow runs, their states and deployments.

Where do I go to…?
    add a subcommand                    facepass.py
    name a deployment or a work pool    names.py and ../prefect.yaml
    start, read or end a flow run       orchestrator.py
    change what the doctor looks at     doctor.py
    hear from Prefect of what is wrong  automations/
    share results between machines      result_storage.py
    register a release with Prefect     register.py, registration.py
    change what runs in containers      Dockerfile, compose.yaml, probe.py
    change what `make up` starts        stack/
    change what `make demo` shows       demo.py, sample_photos.py
    change how photos are pushed        push/
    see what all commands share         command_line/
    change what events, status … tell   photographer/
    draw a QR code in the terminal      qr.py
"""
