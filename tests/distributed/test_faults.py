"""The fault campaign, short: `make faults` itself with one round of faults."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAULTS = 2  # in one round
SEED = 12
MINUTES = 12.0  # the campaign's own end, however slow the machine


def test_a_handful_of_faults_loses_doubles_and_leaves_nothing(models_root: Path) -> None:
    campaign = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.faults", "--seed", str(SEED)),
            *("--faults", str(FAULTS), "--minutes", str(MINUTES), "--models", str(models_root)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    line = json.loads(campaign.stdout.splitlines()[-1]) if campaign.stdout else {}
    findings = dict.fromkeys(["lost", "doubled", "stuck", "unanswered", "foreign"], 0)
    wanted = {"faults": FAULTS, **findings}
    assert (campaign.returncode, line) == (0, wanted), campaign.stderr[-5000:]
