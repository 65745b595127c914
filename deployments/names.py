"""The names of the Prefect work pool, flows and deployments, the same as in prefect.yaml."""

WORK_POOL = "facepass"
SYNC_FLOW = "sync_event_photos"
SYNC_DEPLOYMENT = f"{SYNC_FLOW}/default"
PREVIEWS_FLOW = "make_previews"
PREVIEWS_DEPLOYMENT = f"{PREVIEWS_FLOW}/default"
VIEWS_FLOW = "make_views"
VIEWS_DEPLOYMENT = f"{VIEWS_FLOW}/default"
NOTICES_FLOW = "notify_guests"
NOTICES_DEPLOYMENT = f"{NOTICES_FLOW}/default"
RESYNC_FLOW = "resync_events"
RESYNC_DEPLOYMENT = f"{RESYNC_FLOW}/default"
RESYNC_QUEUE = "resync"  # of the pool; below the default one, where all else waits
VIEWS_QUEUE = "views"  # of the pool; below both
PRUNE_FLOW = "prune_results"
PRUNE_DEPLOYMENT = f"{PRUNE_FLOW}/default"
ERASE_FLOW = "erase_event"
ERASE_DEPLOYMENT = f"{ERASE_FLOW}/default"
REEMBED_FLOW = "reembed_event"
REEMBED_DEPLOYMENT = f"{REEMBED_FLOW}/default"
RETENTION_FLOW = "erase_expired"
RETENTION_DEPLOYMENT = f"{RETENTION_FLOW}/default"
DEPLOYMENTS = (
    SYNC_DEPLOYMENT,
    PREVIEWS_DEPLOYMENT,
    VIEWS_DEPLOYMENT,
    NOTICES_DEPLOYMENT,
    RESYNC_DEPLOYMENT,
    PRUNE_DEPLOYMENT,
    ERASE_DEPLOYMENT,
    REEMBED_DEPLOYMENT,
    RETENTION_DEPLOYMENT,
)
