"""Automations of Prefect's server, which notice what no run tells by itself.

Where do I go to…?
    be told of many failed photos       many_failed.yaml
    be told of photos without a face    many_faceless.yaml
    be told that the resync is silent   resync_silent.yaml
    be told of a run that waits         run_late.yaml
    be notified of failed runs          sync_failures.yaml
    see how they are installed          install.py
"""
