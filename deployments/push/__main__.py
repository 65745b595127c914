"""Another way to run `facepass push`: `python -m deployments.push`."""

from deployments.facepass import run

if __name__ == "__main__":
    run("push")
