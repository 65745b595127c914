"""`python -m deployments.push PHOTOS_DIR --event NAME`: the same as `facepass push`."""

import sys

from deployments.push.command import run

if __name__ == "__main__":
    sys.argv.insert(1, "push")
    run()
