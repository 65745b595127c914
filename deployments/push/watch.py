"""`facepass push --watch`: a folder that a camera, an FTP server or a card reader fills.

The folder is looked at again and again, and what S3 has is all that is remembered: a watch that was
killed goes on where it was. What is no longer in the folder stays in the event, unless --delete
says otherwise; a file that was renamed is one photo, under its new name.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from deployments.push.client import RestApi
from deployments.push.folder import (
    MARKER,
    LocalFile,
    Scan,
    check_folder,
    clean_path,
    find_source,
    rewrite_marker,
    scan_folder,
)
from deployments.push.live import PAUSE_S, LiveSync
from deployments.push.mirror import list_stored, require_kept
from deployments.push.push import Place, Push, name_photos
from deployments.push.report import count_things
from deployments.push.upload import (
    NamedPhoto,
    UploadResult,
    delete_names,
    run_in_threads,
    sort_by_taking,
)
from models.errors import (
    ApiUnavailableError,
    ConfigurationError,
    PushRefusedError,
    S3AccessError,
    S3DownloadError,
)
from models.keys import FileKind, judge_kind
from models.vocabulary import PhotoReason
from tasks.s3.objects import MD5, ORIGINAL, read_metadata

LOOK_S = 1.0
SETTLE_S = 2.0  # a file whose size and time stay so long is whole
RAW_SETTLE_S = 10.0  # of a RAW file, beside which its JPEG may come
ARRIVING_S = 30.0  # of a file that cannot be read as a photo
RETRY_S = 5.0  # between two tries of a file that could not be sent
GONE_S = 5.0  # until a file that vanished counts as gone
# Sent between two looks, so that new photos do not wait behind many originals.
MOST_ORIGINALS, MOST_BYTES = 8, 20_000_000
ORIGINALS_PAUSE_S = 3 * PAUSE_S
LONGEST_WAIT_S = 60.0
TELL_EVERY_S = 10.0
ARRIVING = "it may still be arriving"
_HALF = frozenset({PhotoReason.EMPTY, PhotoReason.TRUNCATED, PhotoReason.NOT_AN_IMAGE})
# In a server that is being restarted S3 may deny everything, and a proxy answers for the API.
_OUTAGES = (ApiUnavailableError, S3DownloadError, S3AccessError, ConfigurationError)

Result = TypeVar("Result")


@dataclass
class Seen:
    """A file as it was last looked at, since when it is so, and when to try it again."""

    stamp: tuple[int, int]
    since: float
    retry_at: float = 0.0


@dataclass
class Watch:
    """One watch of a folder; it ends by Ctrl-C, or by an error that a person has to see to."""

    push: Push
    _seen: dict[str, Seen] = field(default_factory=dict)  # by path
    _rest: dict[str, UploadResult] = field(default_factory=dict)  # by name: original to be sent
    _done: dict[str, UploadResult] = field(default_factory=dict)  # by name: all of it is in S3
    _gone: dict[str, float] = field(default_factory=dict)  # by name, since when
    _digests: dict[str, str | None] = field(default_factory=dict)  # of what is gone
    _devices: dict[str, int] = field(default_factory=dict)  # by name, where the file lay
    _deletable: set[str] | None = None  # names seen since the folder is back; None: it never left
    _is_stale: bool = False  # S3 or the folder was away
    _trouble: str = ""
    _wait_s: float = LOOK_S
    _told_at: float = 0.0
    _told: int = 0

    def run(self) -> None:
        """Watch the folder.

        Raises PushRefusedError; before the first look also ConfigurationError and S3AccessError.
        """
        push = self.push
        folder = check_folder(push.options.folder)
        with (
            closing(RestApi(push.target.api_url, push.target.api_key)) as api,
            ExitStack() as stack,
        ):
            outages = (ApiUnavailableError, S3DownloadError)
            place = self._outlast(lambda: push.find_place(api, folder), outages)
            push.screen.say(f"Watching  {folder}, until Ctrl-C")
            push.screen.show_link(place.event.gallery_url)
            live = None
            if push.options.sync:
                live = LiveSync(api, place.event, lambda *_: None, ORIGINALS_PAUSE_S)
                stack.callback(live.ask_last)
                stack.enter_context(live)
            while True:
                scan = self._scan(folder, place)
                if scan is not None:
                    if self._is_stale:
                        place = self._come_back(api, folder, place)
                    self._bring(folder, scan, place, live)
                time.sleep(LOOK_S)

    def _bring(self, folder: Path, scan: Scan, place: Place, live: LiveSync | None) -> None:
        """Send what is new, and delete what is renamed; where S3 is away, wait."""
        names = name_photos(scan, place.sender.keys)
        try:
            self._forget(scan, names)
            self._send_previews(self._find_settled(scan, names), place, live)
            self._send_originals(place, live)
            self._delete(folder, scan, names, place, live)
        except (*_OUTAGES, OSError) as error:  # of the folder, it is looked into at the next look
            self._tell_trouble(str(error))
            self._is_stale = True
            self._wait()
            return
        self._wait_s = LOOK_S
        if live is None or not live.trouble:
            self._tell_end_of_trouble()
        else:
            self._tell_trouble(live.trouble)
        self._tell_progress()

    def _scan(self, folder: Path, place: Place) -> Scan | None:
        """What the folder holds; None while it is away: a card that is out, a disk not mounted."""
        marker = folder / MARKER
        try:
            scan = scan_folder(folder)
            if self.push.options.source is None:
                self._check_source(folder, scan, place)
        except (PushRefusedError, OSError) as error:
            sign = marker if self.push.options.source is None else folder
            why = str(error) if is_there(sign) else f"{folder} is not there."
            self._tell_trouble(f"{why} It is waited for, and nothing is deleted.")
            self._is_stale, self._deletable = True, set()
            return None
        self.push.report.photos, self.push.report.skipped = len(scan.photos), scan.skipped
        return scan

    def _check_source(self, folder: Path, scan: Scan, place: Place) -> None:
        """Notice another card that came between two looks, whose files may be called the same.

        The marker is written again where the folder is still the one that was watched.
        """
        if not (folder / MARKER).exists():
            if not scan.photos:
                raise PushRefusedError(f"{folder} is empty, and was not.")
            found = {photo.relative: photo.stamp for photo in scan.photos}
            is_same = any(seen.stamp == found.get(path) for path, seen in self._seen.items())
            if is_same and not self._is_stale:
                rewrite_marker(folder, place.source.name)
        if find_source(folder, None).name != place.source.name:
            self._is_stale, self._deletable = True, set()

    def _come_back(self, api: RestApi, folder: Path, before: Place) -> Place:
        """Look anew at what S3 has; another card in the same place has a source of its own."""
        place = self._outlast(lambda: self.push.find_place(api, folder), _OUTAGES)
        self._is_stale = False
        if place.source.name != before.source.name:
            for known in (self._seen, self._rest, self._done, self._gone, self._devices):
                known.clear()
            self.push.report.results.clear()
        return place

    def _forget(self, scan: Scan, names: dict[str, str]) -> None:
        """Drop what is known of files that are no longer there."""
        present = set(names.values())
        for by_name in (self._rest, self._done, self.push.report.results):
            for name in by_name.keys() - present:
                del by_name[name]
        for name in self._digests.keys() & present:
            del self._digests[name]
        for relative in self._seen.keys() - names.keys():
            del self._seen[relative]
        self._devices.update({names[photo.relative]: photo.device for photo in scan.photos})
        if self._deletable is not None:
            self._deletable |= present

    def _find_settled(self, scan: Scan, names: dict[str, str]) -> Iterator[NamedPhoto]:
        """Files that S3 lacks as they are, and that have ceased to change."""
        now = time.monotonic()
        for photo in scan.photos:
            seen = self._seen.get(photo.relative)
            if seen is None or seen.stamp != photo.stamp:
                self._seen[photo.relative] = Seen(photo.stamp, now)
                continue
            if now < seen.retry_at or now - seen.since < choose_patience(photo):
                continue
            name = names[photo.relative]
            known = self._done.get(name) or self._rest.get(name)
            if known is None or (known.photo.file.path, known.stamp) != (photo.path, photo.stamp):
                yield NamedPhoto(photo, name)

    def _send_previews(
        self, settled: Iterator[NamedPhoto], place: Place, live: LiveSync | None
    ) -> None:
        photos = sort_by_taking(settled, place.sender.stored.previews)
        send = partial(place.sender.send_preview, as_scanned=True)
        for result in run_in_threads(send, photos):
            name, now = result.photo.name, time.monotonic()
            seen = self._seen[result.photo.file.relative]
            if result.reason in _HALF and result.stands_in and now - seen.since < ARRIVING_S:
                result.not_sent = ARRIVING
            self._done.pop(name, None)
            self._rest.pop(name, None)
            if result.not_sent:
                seen.retry_at = now + RETRY_S
            else:
                self._rest[name] = result
            self.push.report.take([result])
            if live is not None:
                live.note_preview(result)

    def _send_originals(self, place: Place, live: LiveSync | None) -> None:
        """Send the next few originals and views."""
        chunk: list[UploadResult] = []
        for result in self._rest.values():
            size = sum(other.size for other in chunk)
            if chunk and (len(chunk) == MOST_ORIGINALS or size + result.size > MOST_BYTES):
                break
            chunk.append(result)
        for result in run_in_threads(place.sender.send_rest, chunk):
            name = result.photo.name
            self._rest.pop(name, None)
            if result.is_current():
                self._done[name] = result
            else:
                result.is_done = False
            if live is not None:
                live.note_original(result)

    def _delete(
        self, folder: Path, scan: Scan, names: dict[str, str], place: Place, live: LiveSync | None
    ) -> None:
        """Delete what has another name now; with --delete also what is no longer in the folder."""
        stored, now = place.sender.stored, time.monotonic()
        gone = stored.names - set(names.values())
        self._gone = {name: self._gone.get(name, now) for name in gone}
        ripe = [name for name, since in self._gone.items() if now - since >= GONE_S]
        if not ripe:
            return
        doomed = {*self._find_renamed(ripe, place), *self._find_paired(ripe, scan)}
        if self.push.options.delete and len(self._done) == len(scan.photos):
            devices = {folder.stat().st_dev, *(photo.device for photo in scan.photos)}
            doomed |= {name for name in ripe if self._may_go(name, devices)}
        if not doomed:
            return
        require_kept(list_stored(place.sender.bucket, place.sender.keys), self._done)
        self.push.report.deleted += delete_names(
            place.sender.bucket, place.sender.keys, sorted(doomed)
        )
        for name in doomed:
            stored.originals.pop(name, None)
            stored.previews.pop(name, None)
        if live is not None:
            live.note_change()

    def _find_renamed(self, gone: list[str], place: Place) -> Iterator[str]:
        """What lies in S3 under another name too, from a file that is there."""
        digests = {result.digest for result in self._done.values()}
        sizes = {result.size for result in self._done.values()}
        for name in gone:
            original = place.sender.stored.originals.get(name)
            if original is not None and original.size not in sizes:
                continue
            if name not in self._digests:
                self._digests[name] = _read_digest(place, name)
            if self._digests[name] in digests:
                yield name

    def _find_paired(self, gone: list[str], scan: Scan) -> Iterator[str]:
        """RAW files that were sent before the photo beside them came."""
        pairs = {clean_path(relative) for relative in scan.pairs}
        stems = {name.rpartition(".")[0].casefold() for name in self._done}
        for name in gone:
            if name in pairs and name.rpartition(".")[0].casefold() in stems:
                yield name

    def _may_go(self, name: str, devices: set[int]) -> bool:
        """Whether its file was deleted: it did not lie on a card below the folder that is out."""
        if self._deletable is not None and name not in self._deletable:
            return False
        device = self._devices.get(name)
        return device is None or device in devices

    def _outlast(self, work: Callable[[], Result], outages: tuple[type[Exception], ...]) -> Result:
        """The work's result, tried until the API and S3 are there."""
        while True:
            try:
                result = work()
            except outages as error:
                self._tell_trouble(str(error))
                self._wait()
            else:
                self._wait_s = LOOK_S
                return result

    def _wait(self) -> None:
        time.sleep(self._wait_s)
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def _tell_trouble(self, sentence: str) -> None:
        """Say it, unless it was said last."""
        if sentence != self._trouble:
            self._trouble = sentence
            self.push.screen.complain(f"{time.strftime('%H:%M:%S')}  {sentence}")

    def _tell_end_of_trouble(self) -> None:
        if self._trouble:
            self._trouble = ""
            self.push.screen.say(f"{time.strftime('%H:%M:%S')}  It goes on.")

    def _tell_progress(self) -> None:
        done, now = len(self._done), time.monotonic()
        if done == self._told or (self._rest and now - self._told_at < TELL_EVERY_S):
            return
        behind = f", {count_things(len(self._rest), 'original')} to send" if self._rest else ""
        self.push.screen.say(
            f"{time.strftime('%H:%M:%S')}  {count_things(done, 'photo')} in S3{behind}"
        )
        self._told, self._told_at = done, now


def is_there(path: Path) -> bool:
    """Whether it exists; of a card that was pulled out even that may not be asked."""
    try:
        return path.exists()
    except OSError:
        return False


def choose_patience(photo: LocalFile) -> float:
    """Seconds without a change after which a file is taken for whole."""
    return RAW_SETTLE_S if judge_kind(photo.path.name) is FileKind.RAW else SETTLE_S


def _read_digest(place: Place, name: str) -> str | None:
    """The MD5 of what lies in S3 under a name, as its original or else its preview says."""
    sender = place.sender
    if name in sender.stored.originals:
        key, note = sender.keys.original(name), MD5
    else:
        key, note = sender.keys.preview(name), ORIGINAL
    return (read_metadata(sender.bucket, key) or {}).get(note)
