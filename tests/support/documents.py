"""What the documents show, taken from them: an example that is tested cannot lie."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def read_block(document: str, language: str, mark: str) -> str:
    """The one block of code of a language that holds a mark."""
    text = (DOCS / document).read_text("utf-8")
    blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
    (found,) = [block for block in blocks if mark in block]
    return str(found)


def read_python(document: str, name: str) -> Any:
    """The function of that name that a document's Python defines."""
    space: dict[str, Any] = {}
    exec(compile(read_block(document, "python", f"def {name}("), document, "exec"), space)
    return space[name]
