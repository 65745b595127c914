"""The function behind `facepass push`: it prints a summary or one error sentence, or JSON.

Its result is the exit code, which a script can read.
"""

import json
import sys
import time
import warnings
from enum import IntEnum

from rich.console import Console

from deployments.command_line.signals import interrupt_on_signals
from deployments.push.push import Options, Push, find_target
from deployments.push.report import Report, Screen
from deployments.push.watch import Watch
from models.errors import (
    ApiUnavailableError,
    DeletionRefusedError,
    FacePassError,
    S3DownloadError,
)

INTERRUPTED = "Stopped. What was sent stays: run the same command again, and it goes on."


class ExitCode(IntEnum):
    """What a script learns."""

    DONE = 0  # the gallery shows what the folder holds
    INCOMPLETE = 1  # some files could not be sent, or the sync did not complete
    REFUSED = 2  # the command, a setting, the folder or the event must be changed first
    AWAY = 3  # the API or S3 does not answer: run it again later
    ASKS = 4  # so many photos would be deleted that it wants --delete or --keep
    INTERRUPTED = 130  # Ctrl-C


def push_folder(options: Options, *, as_json: bool, console: Console | None = None) -> int:
    """Push, and say how it went: the exit code."""
    if console is None:
        console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=as_json)
    # What is wrong with a photo is told by a reason; Pillow's words about its notes lead nowhere.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    screen, report, began = Screen(console), Report(), time.monotonic()
    with interrupt_on_signals():
        try:
            push = Push(options, find_target(), screen, report)
            if options.watch:
                Watch(push).run()
            else:
                push.run()
            report.exit_code = judge_report(report)
        except KeyboardInterrupt:
            report.exit_code, report.error = ExitCode.INTERRUPTED, INTERRUPTED
        except FacePassError as error:
            report.exit_code, report.error = name_exit_code(error), str(error)
        report.seconds = time.monotonic() - began
        _close(report, screen, as_json=as_json)
    return report.exit_code


def _close(report: Report, screen: Screen, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), ensure_ascii=False) + "\n")
        return
    if report.error is None or report.results:
        for line in report.tell():
            screen.say(line)
    if report.error is not None:
        screen.complain(report.error)
    elif report.sync and report.sync["state"] != "completed":
        screen.complain(f"The sync ended as {report.sync['state']}: {report.sync['detail']}")
    if report.event and (report.error is None or report.results):
        screen.show_link(report.event.gallery_url)


def judge_report(report: Report) -> ExitCode:
    """The exit code of a push that came to its end."""
    synced = report.sync is None or report.sync["state"] == "completed"
    whole = synced and not report.not_sent and not report.skipped["unnameable"]
    return ExitCode.DONE if whole else ExitCode.INCOMPLETE


def name_exit_code(error: FacePassError) -> ExitCode:
    """The exit code of a push that an error ended."""
    if isinstance(error, DeletionRefusedError):
        return ExitCode.ASKS
    if isinstance(error, ApiUnavailableError | S3DownloadError):
        return ExitCode.AWAY
    return ExitCode.REFUSED
