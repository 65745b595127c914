"""All photos of a folder, several at a time; whoever changes on the way gets another turn."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from deployments.push.photo import CHANGING, NamedPhoto, PhotoResult, PhotoSender, Target
from tasks.s3.objects import delete_object

AT_A_TIME = 8
WAITING = 4 * AT_A_TIME  # handed to the threads, so that none is idle
ROUNDS = 3
PAUSE_S = 2.0  # for a file that is being copied

Item = TypeVar("Item")
Result = TypeVar("Result")


def send_photos(
    target: Target, photos: Sequence[NamedPhoto], report: Callable[[PhotoResult], None]
) -> list[PhotoResult]:
    """Send every photo; one result each, by name. `report` hears of each file as it is done.

    Raises S3AccessError or S3DownloadError: the photos sent so far stay, and are known next time.
    """
    sender = PhotoSender(target)
    results: dict[str, PhotoResult] = {}
    todo = list(photos)
    for round_number in range(ROUNDS):
        if round_number:
            time.sleep(PAUSE_S)
        for result in _run(sender.send, todo):
            earlier = results.get(result.photo.name)
            results[result.photo.name] = _add(result, earlier) if earlier else result
            if earlier is None:
                report(result)
        todo = [result.photo for result in results.values() if not result.is_current()]
        if not todo:
            break
    for photo in todo:
        results[photo.name].not_sent = results[photo.name].not_sent or CHANGING
    return sorted(results.values(), key=lambda result: result.photo.name)


def delete_names(target: Target, names: Iterable[str]) -> int:
    """Delete photos from S3, each one's preview first; how many there were.

    A photo whose original is left by a kill in between is found and deleted by the next push.
    """

    def delete(name: str) -> None:
        for folder in (target.keys.previews, target.keys.originals):
            delete_object(target.bucket, folder + name)

    return sum(1 for _ in _run(delete, names))


def _add(result: PhotoResult, earlier: PhotoResult) -> PhotoResult:
    result.original_sent |= earlier.original_sent
    result.preview_sent |= earlier.preview_sent
    result.bytes_sent += earlier.bytes_sent
    return result


def _run(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work` for each item in threads, results as they come. An error ends it at once.

    Ended early, by an error or by Ctrl-C, it does not wait for what is under way: an upload is
    there whole or not at all.
    """
    source = iter(items)
    executor = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="push")
    try:
        waiting: set[Future[Result]] = {
            executor.submit(work, item) for item in islice(source, WAITING)
        }
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {executor.submit(work, item) for item in islice(source, len(done))}
            for future in done:
                yield future.result()
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
