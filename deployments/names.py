"""Names shared by prefect.yaml, the API and the embedded stack."""

WORK_POOL = "facepass"
SYNC_FLOW = "sync_event_photos"
SYNC_DEPLOYMENT = f"{SYNC_FLOW}/default"
