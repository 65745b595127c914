"""The campaign's table of faults and outcomes, and its last line."""

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from benchmarks.faults.audit import Finding, count_verdicts
from benchmarks.faults.kinds import FAULTS, Fault
from benchmarks.faults.recovery import Outcome


def build_table(hit: Sequence[tuple[Fault, Outcome]]) -> Table:
    """Fault, times, and how often it ended how."""
    counts = Counter((fault.name, outcome) for fault, outcome in hit)
    table = Table(title="Faults injected into running syncs, and how the events became complete")
    table.add_column("fault")
    for heading in ("times", *Outcome):
        table.add_column(heading, justify="right")
    for fault in FAULTS:
        row = [counts[fault.name, outcome] for outcome in Outcome]
        table.add_row(fault.name, *(str(count or "–") for count in (sum(row), *row)))
    totals = [sum(counts[fault.name, outcome] for fault in FAULTS) for outcome in Outcome]
    table.add_section()
    table.add_row("all", *(str(count) for count in (sum(totals), *totals)))
    return table


def build_line(hit: Sequence[tuple[Fault, Outcome]], findings: Sequence[Finding]) -> dict[str, int]:
    """The last line's figures."""
    return {"faults": len(hit), **count_verdicts(findings)}
