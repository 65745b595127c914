"""`facepass push`: options, exit codes, and every error as one sentence."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path

from rich.console import Console

from deployments.push.push import Options, Push, find_place
from deployments.push.report import Report, Screen
from deployments.stack.process import interrupt_on_signals
from models.errors import (
    ApiUnavailableError,
    DeletionRefusedError,
    FacePassError,
    S3DownloadError,
)
from models.vocabulary import ProfileName

INTERRUPTED = "Stopped. What was sent stays: run the same command again, and it goes on."


class ExitCode(IntEnum):
    """What a script learns."""

    DONE = 0  # the gallery shows what the folder holds
    INCOMPLETE = 1  # some files could not be sent, or the sync did not complete
    REFUSED = 2  # the command, a setting, the folder or the event must be changed first
    AWAY = 3  # the API or S3 does not answer: run it again later
    ASKS = 4  # so many photos would be deleted that it wants --delete or --keep
    INTERRUPTED = 130  # Ctrl-C


def run() -> None:
    """The console command."""
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: that waits for uploads under way, for minutes where S3 hangs. Half of one is
    # nothing in S3.
    os._exit(code)


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Push, and say how it went: the exit code."""
    parsed = build_parser().parse_args(arguments)
    if console is None:
        console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=parsed.json)
    screen, report, began = Screen(console), Report(), time.monotonic()
    with interrupt_on_signals():
        try:
            Push(read_options(parsed), find_place(), screen, report).run()
            report.exit_code = judge(report)
        except KeyboardInterrupt:
            report.exit_code, report.error = ExitCode.INTERRUPTED, INTERRUPTED
        except FacePassError as error:
            report.exit_code, report.error = name_exit_code(error), str(error)
        report.seconds = time.monotonic() - began
        _close(report, screen, as_json=parsed.json)
    return report.exit_code


def _close(report: Report, screen: Screen, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.as_json(), ensure_ascii=False) + "\n")
        return
    if report.error is None:
        for line in report.tell():
            screen.say(line)
        if report.sync and report.sync["state"] != "completed":
            screen.complain(f"The sync ended as {report.sync['state']}: {report.sync['detail']}")
    else:
        screen.complain(report.error)
    if report.event and report.error is None:
        screen.say("Gallery   the link for the guests:")
        sys.stdout.write(f"{report.event.gallery_url}\n")


def judge(report: Report) -> ExitCode:
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


def read_options(parsed: argparse.Namespace) -> Options:
    """What was typed, typed."""
    return Options(
        folder=parsed.folder,
        event=parsed.event,
        profile=parsed.profile and ProfileName(parsed.profile),
        source=parsed.source,
        delete=parsed.delete,
        keep=parsed.keep,
        sync=not parsed.no_sync,
    )


def build_parser() -> argparse.ArgumentParser:
    """The command line; `facepass push --help` shows it."""
    parser = argparse.ArgumentParser(prog="facepass", description="FacePass Sync's command line.")
    commands = parser.add_subparsers(required=True, metavar="push")
    push = commands.add_parser(
        "push",
        help="send a folder of photos to an event, and make its gallery",
        description="Send a folder's photos to an event and sync it: what is new is added, what "
        "changed is replaced, what is no longer in the folder is deleted from the event.",
        epilog="Exit codes: 0 done, 1 some files were not sent or the sync failed, 2 refused, "
        "3 the API or S3 is away, 4 asks for --delete or --keep, 130 stopped.",
    )
    push.add_argument("folder", metavar="PHOTOS_DIR", type=Path, help="folder of JPEG, PNG, WebP")
    push.add_argument(
        "--event", required=True, metavar="NAME|UUID", help="a name that is not there is added"
    )
    push.add_argument(
        "--profile", choices=[name.value for name in ProfileName], help="of an event to be added"
    )
    push.add_argument("--source", metavar="NAME", help="the folder's name in the event")
    removing = push.add_mutually_exclusive_group()
    removing.add_argument("--delete", action="store_true", help="delete however many are gone")
    removing.add_argument("--keep", action="store_true", help="delete nothing from the event")
    push.add_argument("--no-sync", action="store_true", help="send only")
    push.add_argument("--json", action="store_true", help="one JSON object, no bars")
    return parser
