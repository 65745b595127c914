"""The command `facepass up`, which runs the local stack until Ctrl-C or SIGTERM."""

import shlex

from rich.console import Console

from deployments.stack.home import NO_SPACE
from deployments.stack.process import interrupt_on_signals
from deployments.stack.stack import EmbeddedStack
from models.errors import FacePassError
from models.settings import get_settings


def main() -> int:
    """Run until a signal (0) or until a part fails (1)."""
    console = Console(highlight=False, soft_wrap=True)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)

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
            with EmbeddedStack(settings, report) as stack:
                for line in describe_stack(stack):
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
        "API": f"{plan.api_url}  (try {plan.api_url}/docs)",
        "Gallery": "each event has its own link, gallery_url; "
        "`make demo-event` adds one with photos",
        "Prefect": plan.prefect_api_url.removesuffix("/api"),
        "S3": f"{plan.environment.get('FACEPASS_S3_ENDPOINT_URL', 'AWS')}, "
        f"bucket {plan.environment['FACEPASS_S3_BUCKET']}",
        "Logs": str(stack.home.logs),
        "To upload": f"set -a; . {shlex.quote(str(stack.home.push_env_file))}",
        "To join": f"set -a; . {shlex.quote(str(stack.home.env_file))}  (every right)",
    }
    width = max(len(name) for name in rows)
    return [
        f"Up in {stack.seconds['all']:.1f} s. Ctrl-C stops everything.",
        *(f"{name:<{width}}  {value}" for name, value in rows.items()),
    ]


if __name__ == "__main__":
    from deployments.facepass import run

    run("up")
