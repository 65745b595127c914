"""The health check of the container images, without curl: `python -m deployments.probe PORT PATH`.

The exit code is 0 if this container's server answers 200 within five seconds, else 1. It is
no `facepass` subcommand because it runs often, and so it needs only the standard library.
"""

import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

TIMEOUT_S = 5.0
# What a server says that knows a path, but not by HEAD.
NO_HEAD = {HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}


def probe(port: int, path: str) -> str | None:
    """What is wrong with this machine's server on `port`; None when it answers `path` with 200."""
    try:
        # The API answers HEAD; Prefect's servers answer GET alone.
        status = ask("HEAD", port, path)
        if status in NO_HEAD:
            status = ask("GET", port, path)
    except (OSError, HTTPException) as error:
        return f"No answer on port {port}: {str(error) or type(error).__name__}."
    return None if status == HTTPStatus.OK else f"{path} on port {port} answers {status}."


def ask(method: str, port: int, path: str) -> int:
    """The status of one call. Raises OSError or HTTPException where none comes."""
    # No proxy of the environment is asked: it could not know this container's loopback.
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    finally:
        connection.close()


def main(arguments: list[str]) -> int:
    """Probe what the arguments name."""
    if arguments in (["-h"], ["--help"]):
        sys.stdout.write("Ask this machine's server: python -m deployments.probe 8000 /health\n")
        return 0
    match arguments:
        case [port, path] if port.isdecimal() and path.startswith("/"):
            wrong = probe(int(port), path)
        case _:
            wrong = "Say what to ask: python -m deployments.probe 8000 /health"
    if wrong:
        sys.stderr.write(f"{wrong}\n")
    return int(wrong is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
