"""`python -m deployments.push`: another way to say `facepass push`."""

from deployments.facepass import run

if __name__ == "__main__":
    run("push")
