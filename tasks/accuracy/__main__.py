"""`python -m tasks.accuracy FOLDER`: as `facepass accuracy`, where the product is not installed."""

import argparse
import sys
from pathlib import Path

from models.vocabulary import ProfileName
from tasks.accuracy.command import Options, show_accuracy


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tasks.accuracy")
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--model-pack")
    parser.add_argument("--profile", type=ProfileName, default=ProfileName.STANDARD)
    parser.add_argument("--photos", type=int)
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--json", action="store_true", dest="as_json")
    return show_accuracy(Options(**vars(parser.parse_args())))


if __name__ == "__main__":
    sys.exit(main())
