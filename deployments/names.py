"""Names shared by prefect.yaml, the API and the embedded stack."""

WORK_POOL = "facepass"
SYNC_FLOW = "sync_event_photos"
SYNC_DEPLOYMENT = f"{SYNC_FLOW}/default"
RESYNC_FLOW = "resync_events"
RESYNC_DEPLOYMENT = f"{RESYNC_FLOW}/default"
PRUNE_FLOW = "prune_results"
PRUNE_DEPLOYMENT = f"{PRUNE_FLOW}/default"
