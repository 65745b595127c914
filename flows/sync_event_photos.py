from prefect import flow


@flow(name="sync_event_photos")
def sync_event_photos(event_id: int, s3_prefix: str) -> None:
    pass
