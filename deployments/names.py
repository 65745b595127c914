"""The names of the Prefect work pool, flows and deployments, the same as in prefect.yaml.

A deployment is named by what it does; FACEPASS_INSTALLATION is put behind its name, as in
`sync@studio-b`, and behind the pool's.
"""

DEFAULT = "default"  # the installation that needs no name: it has its Prefect server to itself
WORK_POOL = "facepass"
SYNC_FLOW = "sync_event_photos"
SYNC_DEPLOYMENT = f"{SYNC_FLOW}/sync"
PREVIEWS_FLOW = "make_previews"
PREVIEWS_DEPLOYMENT = f"{PREVIEWS_FLOW}/make-previews"
VIEWS_FLOW = "make_views"
VIEWS_DEPLOYMENT = f"{VIEWS_FLOW}/make-views"
NOTICES_FLOW = "notify_guests"
NOTICES_DEPLOYMENT = f"{NOTICES_FLOW}/notify-guests"
RESYNC_FLOW = "resync_events"
RESYNC_DEPLOYMENT = f"{RESYNC_FLOW}/resync"
RESYNC_QUEUE = "resync"  # of the pool; below the default one, where all else waits
STOPPED = "Stopped"  # the state of a run whose stack was stopped; its next start takes it up
VIEWS_QUEUE = "views"  # of the pool; below both
PRUNE_FLOW = "prune_results"
PRUNE_DEPLOYMENT = f"{PRUNE_FLOW}/prune"
ERASE_FLOW = "erase_event"
ERASE_DEPLOYMENT = f"{ERASE_FLOW}/erase"
REEMBED_FLOW = "reembed_event"
REEMBED_DEPLOYMENT = f"{REEMBED_FLOW}/change-model"
RETENTION_FLOW = "erase_expired"
RETENTION_DEPLOYMENT = f"{RETENTION_FLOW}/erase-expired"
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


def name_pool(installation: str) -> str:
    """The work pool of an installation."""
    return WORK_POOL if installation == DEFAULT else f"{WORK_POOL}-{installation}"


def name_trigger(name: str, installation: str) -> str:
    """An installation's own automation, by the name that it has where there is one alone."""
    return name if installation == DEFAULT else f"{name} ({installation})"


def name_wish(word: str, installation: str) -> str:
    """An installation's own word in the label facepass.sync, by the one where there is one alone.

    Events' ids are a database's own: the triggers of two would start each other's syncs.
    """
    return word if installation == DEFAULT else f"{word} {installation}"


def name_deployment(deployment: str, installation: str) -> str:
    """An installation's own deployment, by the name that it has where there is one alone."""
    return deployment if installation == DEFAULT else f"{deployment}@{installation}"


def list_deployed_names(installation: str) -> list[str]:
    """An installation's deployments by their own names, without their flows'."""
    own = [name_deployment(deployment, installation) for deployment in DEPLOYMENTS]
    return [deployment.partition("/")[2] for deployment in own]


def list_former_names(installation: str) -> list[str]:
    """How every deployment of an installation was called by releases before these names.

    None where a deployment of the server's first installation is called so now.
    """
    return [] if installation in list_deployed_names(DEFAULT) else [installation]
