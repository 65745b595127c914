"""A photographer's computer: the base's packages alone, and nothing that Windows lacks.

Run as `python -c PROGRAM facepass's words`: see LIGHT_CLIENT.
"""

# Modules and names that Python has on Linux and macOS only; what is not ours may ask for them.
_POSIX_MODULES = {"fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios", "tty"}
_POSIX_NAMES = {
    "os": ["fork", "getegid", "geteuid", "getgid", "getpgrp", "getuid", "killpg", "setsid"],
    "signal": ["SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGUSR1", "pthread_kill"],
}
LIGHT_CLIENT = f"""
import builtins, importlib, sys, tomllib
from importlib.metadata import packages_distributions, requires
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

wanted = tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]
waiting, base = [Requirement(text) for text in wanted], set()
while waiting:
    one = waiting.pop()
    name = canonicalize_name(one.name)
    for extra in ["", *one.extras]:
        if (name, extra) not in base:
            base.add((name, extra))
            for text in requires(name) or []:
                need = Requirement(text)
                if need.marker is None or need.marker.evaluate({{"extra": extra}}):
                    waiting.append(need)
names = {{name for name, _ in base}}
absent = {{
    module for module, owners in packages_distributions().items()
    if not names & {{canonicalize_name(owner) for owner in owners}}
}} - {{"api", "deployments", "flows", "models", "tasks"}}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

for name in [name for name in sys.modules if name.partition(".")[0] in absent]:
    del sys.modules[name]
sys.meta_path.insert(0, Absent())
load = builtins.__import__

def load_as_on_windows(name, globals=None, locals=None, fromlist=(), level=0):
    asks = str((globals or {{}}).get("__name__", "")).partition(".")[0]
    if name in {_POSIX_MODULES} and asks in {{"api", "deployments", "flows", "models", "tasks"}}:
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return load(name, globals, locals, fromlist, level)

builtins.__import__ = load_as_on_windows
for module, lacking in {_POSIX_NAMES}.items():
    for name in lacking:
        delattr(importlib.import_module(module), name)

from deployments.facepass import run
run()
"""
