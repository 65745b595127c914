"""Objects that run code in whoever loads them, and results that are damaged."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from prefect.results import ResultRecord, ResultRecordMetadata
from prefect.serializers import JSONSerializer, PickleSerializer

MODULE = "facepass_poison"  # its import leaves the marker; Prefect's JSON decoder imports by name


class _Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._command = ["touch", str(marker)]

    def __reduce__(self) -> tuple[object, ...]:
        return subprocess.check_call, (self._command,)


def write_module(folder: Path, marker: Path) -> None:
    """The module that a record names; `folder` must be where Python looks for modules."""
    code = f"import pathlib\npathlib.Path({str(marker)!r}).touch()\nclass Trap(Exception): pass\n"
    (folder / f"{MODULE}.py").write_text(code)


def make_pickle(marker: Path) -> bytes:
    """A record that says it is a pickle."""
    metadata = ResultRecordMetadata(serializer=PickleSerializer())
    return ResultRecord(metadata=metadata, result=_Trap(marker)).serialize()


def make_json(content: str) -> bytes:
    """A record that says it is Prefect's JSON."""
    metadata = ResultRecordMetadata(serializer=JSONSerializer())
    record = ResultRecord(metadata=metadata, result=content)
    return record.model_dump_json(serialize_as_any=True).encode()


def make_class(_: Path) -> bytes:
    """JSON that names a class to be imported and called."""
    return make_json(f'{{"__class__": "{MODULE}.Trap", "data": 1}}')


def make_error(_: Path) -> bytes:
    """JSON that names an exception to be imported and called."""
    return make_json(f'{{"__exc_type__": "{MODULE}.Trap", "message": "x"}}')


POISONS: dict[str, Callable[[Path], bytes]] = {
    "pickle": make_pickle,
    "__class__": make_class,
    "__exc_type__": make_error,
}


def flip_bytes(content: bytes, count: int = 40) -> bytes:
    """The content with some bytes of its middle changed; what is base64 stays so."""
    start = len(content) // 2
    return content[:start] + content[start : start + count].lower() + content[start + count :]
