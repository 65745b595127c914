"""The line of a wait: it lives in a terminal, and comes now and then into a log."""

import io

from rich.console import Console

from deployments.command_line.waits import EVERY_S, WaitLine


def test_a_log_gets_a_line_now_and_then() -> None:
    written, now = io.StringIO(), [100.0]
    line = WaitLine(Console(file=written, width=200), lambda: now[0])
    for second in range(40):
        now[0] = 100.0 + second
        line.show({"Prefect": second, "S3": second / 2})
        line.show({"Prefect": second, "S3": second / 2})
    line.show({})
    assert EVERY_S == 15.0
    assert written.getvalue().splitlines() == [
        "  ... waiting for Prefect 15 s, S3 8 s",
        "  ... waiting for Prefect 30 s, S3 15 s",
    ]


def test_what_is_quick_says_nothing() -> None:
    written = io.StringIO()
    line = WaitLine(Console(file=written), lambda: 100.0)
    line.show({"S3": 14.0})
    line.show({})
    assert written.getvalue() == ""


def test_a_terminals_line_lives_and_vanishes() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80)
    line = WaitLine(console)
    line.show({"Prefect": 1.0})
    line.show({"Prefect": 2.0})
    console.print("S3 ready")
    line.show({})
    console.print("Up")
    shown = written.getvalue()
    assert "waiting for Prefect 2 s" in shown
    assert "waiting" not in shown.rpartition("\x1b[2K")[2]  # the line was erased
    assert shown.endswith("Up\n")
    line.show({"API": 1.0})  # and comes again
    line.show({})
    assert "waiting for API 1 s" in written.getvalue()
