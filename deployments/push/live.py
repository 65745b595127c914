"""The syncs that are asked for while photos are still on their way, so that no guest waits.

They are asked for by a thread of its own: an API that is slow or away never holds up an upload.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from deployments.push.client import RestApi
from deployments.push.event import FACES_EVERY_S, SYNC_ENDS, PushedEvent
from deployments.push.upload import UploadResult
from models.errors import ApiUnavailableError, ConfigurationError, FacePassError, PushRefusedError
from models.findings import join_message, tell_synced

PAUSE_S = 5.0  # between two requests; the first is made at once: a run takes seconds to start
# A sync that finds originals alone saves guests little, and is a run of its own.
ORIGINALS_PAUSE_S = 60.0
LOOK_S = 0.25
FOLLOW_S = 1.0
RETRY_S, LONGEST_WAIT_S = 5.0, 60.0  # between tries of an API that is away
FAILED_PAUSE_S = 60.0  # until what a failed sync left is asked for again
SUMS = ("new_photos", "updated", "no_face", "faces_found", "gone")


class LiveSync:
    """Requests for syncs of an event, at most one in PAUSE_S, while there is anything new.

    `show` is told each status of the sync that runs, and how many faces the event has.
    """

    def __init__(
        self,
        api: RestApi,
        event: PushedEvent,
        show: Callable[[dict[str, Any], int], None],
        originals_pause_s: float = ORIGINALS_PAUSE_S,
    ) -> None:
        self.task_ids: dict[str, None] = {}  # of the runs that were asked for, in their order
        self.trouble = ""  # what keeps it from asking now, in a sentence
        self._api, self._event, self._show = api, event, show
        self._originals_pause_s = originals_pause_s
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="live sync", daemon=True)
        self._previews = self._originals = 0  # sent since the last request
        self._asked_at = self._try_at = self._seen_at = self._counted_at = 0.0
        self._wait_s, self._faces, self._followed = RETRY_S, 0, ""
        self._refusal: PushRefusedError | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        self._stop.set()
        if kind is None:
            self._thread.join()

    def note_preview(self, result: UploadResult) -> None:
        """Hear of a photo. Raises PushRefusedError where the API takes no sync of the event."""
        if self._refusal is not None:
            raise self._refusal
        if result.preview_sent:
            with self._lock:
                self._previews += 1

    def note_original(self, result: UploadResult) -> None:
        """Hear of the rest of a photo. Raises what `note_preview` raises."""
        if self._refusal is not None:
            raise self._refusal
        if result.is_sent:
            self.note_change()

    def note_change(self) -> None:
        """Hear of anything else that a sync has to find, such as a deletion."""
        with self._lock:
            self._originals += 1

    def ask_last(self) -> None:
        """Ask for what is still unasked, as the process ends; whatever goes wrong is left."""
        with suppress(Exception):
            if self._previews or self._originals:
                self._ask()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            now = time.monotonic()
            try:
                if now < self._try_at:
                    continue
                if self._is_due(now):
                    self._ask()
                elif self._followed and now - self._seen_at >= FOLLOW_S:
                    self._follow(now)
                self._wait_s, self.trouble = RETRY_S, ""
            except PushRefusedError as error:
                self._refusal, self.trouble = error, str(error)
                return
            except (ApiUnavailableError, ConfigurationError) as error:
                # What answers for an API that is being restarted is any proxy's page.
                self._put_off(str(error))
            except Exception as error:  # noqa: BLE001 (whatever it is, later syncs are asked for)
                self._followed = ""
                self._put_off(
                    f"A sync could not be asked for or followed ({type(error).__name__}: {error}); "
                    "it is tried again."
                )

    def _put_off(self, trouble: str) -> None:
        self.trouble = trouble
        self._try_at = time.monotonic() + self._wait_s
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)

    def _is_due(self, now: float) -> bool:
        if self._previews and not self._asked_at:
            return True
        pause = PAUSE_S if self._previews else self._originals_pause_s
        return bool(self._previews or self._originals) and now - self._asked_at >= pause

    def _ask(self) -> None:
        with self._lock:
            previews, originals = self._previews, self._originals
            self._previews = self._originals = 0
        try:
            body = {"event_uuid": self._event.event_uuid, "s3_prefix": self._event.s3_prefix}
            self._followed = str(self._api.post("faces/sync-s3", body)["task_id"])
        except BaseException:
            with self._lock:
                self._previews += previews
                self._originals += originals
            raise
        self.task_ids[self._followed] = None
        self._asked_at = time.monotonic()

    def _follow(self, now: float) -> None:
        self._seen_at = now
        try:
            status: dict[str, Any] = self._api.get(f"faces/sync-s3/{self._followed}")
        except PushRefusedError:  # its record is gone
            self._followed = ""
            return
        if now - self._counted_at >= FACES_EVERY_S:
            self._faces = self._api.get(f"events/{self._event.event_uuid}")["faces"]
            self._counted_at = now
        self._show(status, self._faces)
        if status["state"] not in SYNC_ENDS:
            return
        self._followed = ""
        if status["state"] in {"failed", "crashed"}:
            self._try_at = now + FAILED_PAUSE_S
        if status["state"] in {"failed", "crashed", "skipped"}:
            with self._lock:
                self._previews += 1  # what it did not look at


def sum_results(api: RestApi, last: dict[str, Any], task_ids: dict[str, None]) -> dict[str, Any]:
    """The last sync's status, whose result counts what the syncs before it did for this push too.

    Those that the API cannot tell of any more are left out: the push is complete without them.
    """
    results = []
    for task_id in task_ids:
        with suppress(FacePassError):
            if task_id != last.get("task_id"):
                results.append(api.get(f"faces/sync-s3/{task_id}")["result"])
    results = [result for result in results if result]
    if not last["result"] or not results:
        return last
    result = dict(last["result"])
    for name in SUMS:
        result[name] += sum(other[name] for other in results)
    done = result["new_photos"] + result["updated"] + result["failed"]
    result["skipped"] = max(0, result["total_found"] - done)
    result["message"] = join_message(
        tell_synced(result["new_photos"], result["updated"]),
        result["ignored"],
        result["missing_originals"],
    )
    return {**last, "result": result, "detail": result["message"]}
