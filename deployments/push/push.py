"""The steps of a push, and its target (the API and the S3 bucket that it sends to).

The target is what FACEPASS_API_URL and the other settings name, else the stack that is running in
this folder.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from deployments.command_line.running_stack import PUSH_ENV_FILE, read_stack, spare_loopback
from deployments.push.client import RestApi
from deployments.push.event import PushedEvent, resolve_event, sync_event
from deployments.push.folder import (
    MARKER,
    Scan,
    Source,
    assign_names,
    check_folder,
    find_source,
    has_source,
    scan_folder,
)
from deployments.push.live import LiveSync, sum_results
from deployments.push.mirror import SourceKeys, choose_deletions, list_stored, require_kept
from deployments.push.report import Report, Screen, Transfer
from deployments.push.upload import (
    NamedPhoto,
    PhotoSender,
    UploadResult,
    delete_names,
    send_photos,
    sort_by_taking,
)
from models.errors import ConfigurationError, DeletionRefusedError, PushRefusedError, StackError
from models.findings import advise_left_out, join_message
from models.keys import MAX_KEY_BYTES, PREVIEW_SUFFIX
from models.settings import Settings, get_settings
from models.vocabulary import ProfileName
from tasks.s3.bucket import open_bucket


@dataclass(frozen=True)
class Target:
    """The API and its key; the settings lead to S3."""

    api_url: str
    api_key: str | None
    settings: Settings


def find_target() -> Target:
    """Join the running stack, or take the environment as it is.

    Joining changes this process's environment: boto3 reads its credentials there. Raises
    ConfigurationError.
    """
    joined = join_environment(os.environ, get_settings().home)
    for name in os.environ.keys() - joined.keys():
        del os.environ[name]
    os.environ.update(joined)
    get_settings.cache_clear()
    settings = get_settings()
    settings.require_s3_bucket()
    key = os.environ.get("FACEPASS_API_KEY", "").strip()
    return Target(os.environ["FACEPASS_API_URL"].rstrip("/"), key or None, settings)


def join_environment(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """The variables to push with. Raises ConfigurationError where nothing says where to."""
    if environment.get("FACEPASS_API_URL"):
        return dict(environment)
    try:
        stack = read_stack(home, PUSH_ENV_FILE)
    except StackError as error:
        raise ConfigurationError(
            "There is nothing to push to: start `make up` in this folder in another terminal, or "
            "set FACEPASS_API_URL, FACEPASS_S3_BUCKET and AWS's credentials."
        ) from error
    kept = dict(environment)
    if "AWS_ACCESS_KEY_ID" in stack:  # a profile or session token beside these keys breaks them
        kept = {name: value for name, value in kept.items() if not name.startswith("AWS_")}
    host = urlsplit(stack["FACEPASS_API_URL"]).hostname or ""
    return {**kept, **stack, **spare_loopback(environment, host)}


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    folder: Path
    event: str
    profile: ProfileName | None = None
    source: str | None = None
    delete: bool = False
    keep: bool = False
    sync: bool = True
    watch: bool = False


@dataclass(frozen=True)
class Place:
    """Where a folder's photos go: the event, the folder's source in it, and what sends there."""

    event: PushedEvent
    source: Source
    sender: PhotoSender


@dataclass(frozen=True)
class Push:
    """One push; `report` is filled on the way, so that one that fails tells how far it came."""

    options: Options
    target: Target
    screen: Screen
    report: Report

    def run(self) -> None:
        """Folder to gallery.

        Raises PushRefusedError, ConfigurationError, ApiUnavailableError, S3AccessError or
        S3DownloadError.
        """
        folder = check_folder(self.options.folder)
        scan = self._scan(folder)
        with closing(RestApi(self.target.api_url, self.target.api_key)) as api:
            place = self.find_place(api, folder)
            asked = self._mirror(api, folder, scan, place)
            if self.options.sync:
                with self.screen.show_sync() as show:
                    last = sync_event(api, place.event, show)
                self.report.sync = sum_results(api, last, asked)

    def find_place(self, api: RestApi, folder: Path) -> Place:
        """The event, found or added, and what S3 has of the folder. Raises what `run` raises."""
        bucket = open_bucket(self.target.settings)
        bucket.check()
        event = resolve_event(api, self.options.event, self.options.profile)
        source = find_source(folder, self.options.source)
        if self.report.source != source.name:
            self.screen.say(f"Event     {event.name}{' (new)' if event.is_new else ''}")
            self.screen.say(f"Folder    {source.name}, as it is called in S3")
        self.report.event, self.report.source = event, source.name
        keys = SourceKeys.of(event.s3_prefix, source.name)
        sender = PhotoSender(
            bucket,
            keys,
            list_stored(bucket, keys),
            event.recipe,
            max_photo_bytes=self.target.settings.max_photo_bytes,
            max_original_bytes=self.target.settings.max_original_bytes,
            makes_views=self.target.settings.make_views,
        )
        return Place(event, source, sender)

    def _scan(self, folder: Path) -> Scan:
        scan = scan_folder(folder)
        self.report.photos, self.report.skipped = len(scan.photos), scan.skipped
        if scan.photos or self.options.delete:
            return scan
        nothing = join_message(
            f"There are no photos in {folder} (JPEG, PNG, WebP, HEIC, AVIF, TIFF or RAW)",
            scan.skipped,
        )
        sentence = " ".join([f"{nothing}.", *advise_left_out(scan.skipped)])
        if (folder / MARKER).exists() and not self.options.keep:
            raise DeletionRefusedError(
                f"{sentence} It was pushed before: is the card in its place? --delete deletes "
                "from the event what the folder sent."
            )
        raise PushRefusedError(sentence)

    def _mirror(self, api: RestApi, folder: Path, scan: Scan, place: Place) -> dict[str, None]:
        """Make the folder's source in S3 what the folder is; the syncs asked for on the way."""
        sender, keys = place.sender, place.sender.keys
        names = name_photos(scan, keys)
        doomed = choose_deletions(
            sender.stored,
            sender.stored.names if self.options.keep else names.values(),
            allowed=self.options.delete,
            called_before=place.source.called_before,
        )
        photos = [NamedPhoto(photo, names[photo.relative]) for photo in scan.photos]
        asked: dict[str, None] = {}
        with self.screen.show_transfer(photos) as shown:
            todo = sort_by_taking(photos, sender.stored.previews)
            with self._follow(api, place.event, shown) as listener:
                asked = listener.task_ids
                is_in_place = partial(self._is_in_place, folder, place.source)
                self.report.take(send_photos(sender, todo, listener, is_in_place))
        if doomed:
            sent = [r.photo.name for r in self.report.results.values() if not r.not_sent]
            require_kept(list_stored(sender.bucket, keys), sent)
            # What came into the folder meanwhile may have been sent by another push of it.
            back = set(name_photos(scan_folder(folder), keys).values())
            gone = [name for name in doomed if name not in back]
            self.report.deleted = delete_names(sender.bucket, keys, gone)
        return asked

    def _is_in_place(self, folder: Path, source: Source) -> bool:
        """Whether the folder is still the one that was scanned; --source names all alike."""
        return self.options.source is not None or has_source(folder, source.name)

    @contextmanager
    def _follow(self, api: RestApi, event: PushedEvent, shown: Transfer) -> Iterator["Listeners"]:
        """Whoever hears of the photos as they are sent; with syncs, unless these are unwanted."""
        if not self.options.sync:
            yield Listeners(self.report, shown)
            return
        with LiveSync(api, event, shown.show_sync) as live:
            yield Listeners(self.report, shown, live)


@dataclass(frozen=True)
class Listeners:
    """The report, the bars and the syncs, which hear of each photo."""

    report: Report
    shown: Transfer
    live: LiveSync | None = None

    @property
    def task_ids(self) -> dict[str, None]:
        """The syncs that were asked for; it grows."""
        return {} if self.live is None else self.live.task_ids

    def note_preview(self, result: UploadResult) -> None:
        """Tell all of them."""
        self.report.take([result])
        self.shown.note_preview(result)
        if self.live is not None:
            self.live.note_preview(result)

    def note_original(self, result: UploadResult) -> None:
        """Tell all of them."""
        self.shown.note_original(result)
        if self.live is not None:
            self.live.note_original(result)


def name_photos(scan: Scan, keys: SourceKeys) -> dict[str, str]:
    """Path below the folder -> name below the source."""
    room = MAX_KEY_BYTES - len(f"{keys.originals}{PREVIEW_SUFFIX}".encode())
    return assign_names((photo.relative for photo in scan.photos), room)
