"""The table and the last line of `make hostile`."""

import json
from collections import Counter

from rich.console import Console
from rich.table import Table

from benchmarks.hostile.audit import Audit

WIDTH = 150


def print_audit(audit: Audit) -> None:
    """Kind by kind: files, outcomes, the slowest and the largest; then whatever is wrong."""
    console = Console(width=WIDTH)
    table = Table("kind", "files", "outcomes", "slowest, s", "peak, MiB", show_lines=False)
    for kind in dict.fromkeys(file.kind for file in audit.files):
        files = [file for file in audit.files if file.kind == kind]
        outcomes = Counter(file.crash or file.stored or "not in the ledger" for file in files)
        table.add_row(
            kind,
            str(len(files)),
            ", ".join(f"{outcome} {count}" for outcome, count in outcomes.most_common()),
            f"{max(file.seconds for file in files):.1f}",
            str(max(file.peak_mib for file in files)),
        )
    console.print(table)
    for file in audit.files:
        if wrong := file.crash or file.unexplained:
            console.print(f"{file.name}: {wrong}", style="red", markup=False)
    for wrong in (*audit.crashes, *audit.failures):
        console.print(wrong, style="red", markup=False)


def build_last_line(audit: Audit) -> str:
    """What programs read."""
    return json.dumps(audit.count())
