"""The steps of a push, one after the other."""

from dataclasses import dataclass
from pathlib import Path

from deployments.push.events import PushedEvent, find_event
from deployments.push.mirror import SourceKeys, choose_deletions, list_stored, require_kept
from deployments.push.names import assign_names
from deployments.push.photo import NamedPhoto, Target
from deployments.push.place import Place
from deployments.push.report import Report
from deployments.push.rest import RestApi
from deployments.push.scan import Scan, check_folder, scan_folder
from deployments.push.screen import Screen
from deployments.push.source import MARKER, Source, find_source
from deployments.push.sync import sync_event
from deployments.push.transfer import delete_names, send_photos
from models.errors import DeletionRefusedError, PushRefusedError
from models.keys import MAX_KEY_BYTES
from models.vocabulary import ProfileName
from tasks.s3.bucket import Bucket, open_bucket


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


@dataclass(frozen=True)
class Push:
    """One push; `report` is filled on the way, so that one that fails tells how far it came."""

    options: Options
    place: Place
    screen: Screen
    report: Report

    def run(self) -> None:
        """Folder to gallery.

        Raises PushRefusedError, ConfigurationError, ApiUnavailableError, S3AccessError or
        S3DownloadError.
        """
        folder = check_folder(self.options.folder)
        scan = self._scan(folder)
        bucket = open_bucket(self.place.settings)
        bucket.check()
        with RestApi(self.place.api_url, self.place.api_key) as api:
            event = find_event(api, self.options.event, self.options.profile)
            source = find_source(folder, self.options.source)
            self._introduce(event, source)
            self._mirror(folder, scan, event, source, bucket)
            if self.options.sync:
                with self.screen.show_sync() as show:
                    self.report.sync = sync_event(api, event, show)

    def _scan(self, folder: Path) -> Scan:
        scan = scan_folder(folder)
        self.report.photos, self.report.skipped = len(scan.photos), scan.skipped
        if scan.photos or self.options.delete:
            return scan
        sentence = (
            f"There are no JPEG, PNG or WebP photos in {folder} "
            f"({sum(scan.skipped.values())} other files)."
        )
        if (folder / MARKER).exists() and not self.options.keep:
            raise DeletionRefusedError(
                f"{sentence} It was pushed before: is the card in its place? --delete deletes "
                "from the event what the folder sent."
            )
        raise PushRefusedError(sentence)

    def _introduce(self, event: PushedEvent, source: Source) -> None:
        self.report.event, self.report.source = event, source.name
        self.screen.say(f"Event     {event.name}{' (new)' if event.is_new else ''}")
        self.screen.say(f"Source    {source.name}")

    def _mirror(
        self, folder: Path, scan: Scan, event: PushedEvent, source: Source, bucket: Bucket
    ) -> None:
        """Make the folder's source in S3 what the folder is."""
        keys = SourceKeys.of(event.event_id, source.name)
        names = _name_photos(scan, keys)
        photos = [NamedPhoto(photo, names[photo.relative]) for photo in scan.photos]
        stored = list_stored(bucket, keys)
        doomed = choose_deletions(
            stored,
            stored.names if self.options.keep else names.values(),
            allowed=self.options.delete,
            called_before=source.called_before,
        )
        target = Target(
            bucket=bucket,
            keys=keys,
            stored=stored,
            preview_side=event.profile.preview_side,
            max_photo_bytes=self.place.settings.max_photo_bytes,
        )
        with self.screen.show_transfer(photos) as advance:
            self.report.results = send_photos(target, photos, advance)
        if doomed:
            sent = [result.photo.name for result in self.report.results if not result.not_sent]
            require_kept(list_stored(bucket, keys), sent)
            # What came into the folder meanwhile may have been sent by another push of it.
            back = set(_name_photos(scan_folder(folder), keys).values())
            self.report.deleted = delete_names(target, [n for n in doomed if n not in back])


def _name_photos(scan: Scan, keys: SourceKeys) -> dict[str, str]:
    """Path below the folder -> name below the source."""
    room = MAX_KEY_BYTES - len(keys.originals.encode())
    return assign_names((photo.relative for photo in scan.photos), room)
