"""The command `facepass up`, which runs the local stack until Ctrl-C or SIGTERM.

`facepass ui-password` shows the password of its Prefect UI.
"""

import shlex
import sys
from functools import partial

from rich.console import Console

from deployments.command_line.running_stack import read_stack
from deployments.command_line.signals import interrupt_on_signals
from deployments.command_line.waits import WaitLine
from deployments.stack.home import NO_SPACE
from deployments.stack.lan import API_KEY, describe_lan
from deployments.stack.plan import StackPlan
from deployments.stack.prefect import AUTH_VARIABLE
from deployments.stack.stack import EmbeddedStack
from models.errors import FacePassError, StackError
from models.settings import get_settings


def main(*, lan: bool = False, adopts: bool = False) -> int:
    """Run until a signal (0) or until a part fails (1); `lan`, `adopts` as in EmbeddedStack."""
    console = Console(highlight=False, soft_wrap=True)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    # Rich would end the process where nobody reads its lines any longer.
    console.on_broken_pipe = partial(setattr, console, "quiet", True)  # type: ignore[method-assign]  # Rich has no other way

    def report(line: str) -> None:
        try:
            console.print(f"  {line}", markup=False)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            # Standard output is a file on a full disk: what runs need not end for that.

    with interrupt_on_signals():
        try:
            settings = get_settings()
            console.print("Starting FacePass Sync ...")
            waits = WaitLine(console).show
            with EmbeddedStack(settings, report, lan=lan, adopts=adopts, show_waits=waits) as stack:
                for line in describe_stack(stack):
                    report(line)
                if lan:
                    plan = stack.plan
                    key = stack.environment[API_KEY]
                    for line in describe_lan(plan.public_url, plan.api_url, key):
                        report(line)
                stack.watch()
                console.print("Stopping ...")
        except KeyboardInterrupt:
            pass  # the stack is stopped; this is how its life ends
        except FacePassError as error:
            errors.print(str(error), style="red", markup=False)
            return 1
    console.print("Everything is stopped.")
    return 0


def describe_stack(stack: EmbeddedStack) -> list[str]:
    """What runs where, a line each."""
    plan = stack.plan
    rows = {
        "API": describe_api(plan),
        "Gallery": "each event has its own link, gallery_url; "
        "`make demo-event` adds one with photos",
        "Prefect": describe_prefect(plan),
        "S3": f"{plan.environment.get('FACEPASS_S3_ENDPOINT_URL', 'AWS')}, "
        f"bucket {plan.environment['FACEPASS_S3_BUCKET']}",
        "Logs": str(stack.home.logs),
        "To upload": f"set -a; . {shlex.quote(str(stack.home.push_env_file))}",
        "To join": f"set -a; . {shlex.quote(str(stack.home.env_file))}",
    }
    width = max(len(name) for name in rows)
    return [
        f"Up in {stack.seconds['all']:.1f} s. Ctrl-C stops everything.",
        *(f"{name:<{width}}  {value}" for name, value in rows.items()),
    ]


def describe_api(plan: StackPlan) -> str:
    """The API's address, and its interactive page's."""
    needs = " with a photographer's key" if plan.settings.api_keys else ""
    return f"{plan.api_url}  (try {plan.api_url}/docs{needs})"


def describe_prefect(plan: StackPlan) -> str:
    """The UI's address and how to be let in."""
    address = plan.prefect_api_url.removesuffix("/api")
    if AUTH_VARIABLE not in plan.environment:
        return address
    return f"{address}  (a browser asks once for the password: `facepass ui-password` shows it)"


def show_password() -> int:
    """Print the password of the running stack's Prefect UI: 0, or 1 with the reason."""
    try:
        stack = read_stack(get_settings().home)
        if AUTH_VARIABLE not in stack:
            raise StackError(
                f"This stack's Prefect server, {stack['PREFECT_API_URL']}, is not its own: "
                "ask who runs it for its password."
            )
    except FacePassError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{stack[AUTH_VARIABLE]}\n")
    return 0


if __name__ == "__main__":
    from deployments.facepass import run

    run("up")
