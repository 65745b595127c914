"""The product's modules as parsed, none of them run: their number, lines, folders and imports."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOMS = ("api", "deployments", "flows", "models", "tasks")


@dataclass(frozen=True)
class Import:
    """One import; `name` goes down to the attribute (`models.queries.events.find_event`)."""

    module: str
    name: str
    line: int
    at_once: bool  # at module level, and so run when the module is imported

    def reaches(self, target: str) -> bool:
        """Whether this imports the target or something inside it."""
        return is_inside(self.name, target)

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.name}"


def is_inside(name: str, package: str) -> bool:
    """Whether a dotted name is the package or lies in it."""
    return name == package or name.startswith(f"{package}.")


def list_files(root: Path) -> list[Path]:
    """Every module of the product below the project's root."""
    return sorted(file for room in ROOMS for file in (root / room).rglob("*.py"))


def count_lines(root: Path) -> int:
    """Lines of all modules, empty ones and comments among them."""
    return sum(len(file.read_text("utf-8").splitlines()) for file in list_files(root))


def count_modules(root: Path) -> Counter[str]:
    """Modules in each folder, `__init__` among them."""
    return Counter(str(file.parent.relative_to(root)) for file in list_files(root))


def name_module(root: Path, file: Path) -> str:
    """The dotted name of a module."""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def read_imports(root: Path) -> list[Import]:
    """Every import of the product; those for type checkers alone are left out."""
    return [
        item
        for file in list_files(root)
        for item in list_imports(
            name_module(root, file),
            ast.parse(file.read_text("utf-8")),
            is_package=file.name == "__init__.py",
        )
    ]


def list_imports(module: str, tree: ast.Module, *, is_package: bool = False) -> Iterator[Import]:
    """Every import of one module, also inside its functions.

    Those for type checkers are left out, and those that are run only where the module is the
    program (`python -m`, the alias of a subcommand).
    """

    def walk(node: ast.AST, at_once: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                for name in _list_names(module, child, is_package):
                    yield Import(module, name, child.lineno, at_once)
            elif not _is_left_out(child):
                later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                yield from walk(child, at_once and not later)

    yield from walk(tree, at_once=True)


def _list_names(module: str, node: ast.Import | ast.ImportFrom, is_package: bool) -> list[str]:
    """The full names that an import statement names; relative ones resolved."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        package = module.split(".") if is_package else module.split(".")[:-1]
        base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [base])])
    return [f"{base}.{alias.name}" for alias in node.names]


def _is_left_out(node: ast.AST) -> bool:
    """Whether this is `if TYPE_CHECKING:` or `if __name__ == "__main__":`."""
    if not isinstance(node, ast.If):
        return False
    test = ast.unparse(node.test)
    return "TYPE_CHECKING" in test or "__name__" in test


def find_circles(imports: Iterable[Import], modules: Iterable[str]) -> list[list[str]]:
    """Groups of modules of which each reaches every other through imports."""
    known = set(modules)
    arrows: dict[str, set[str]] = defaultdict(set)
    for item in imports:
        # `from tasks import search` names a module, `from tasks.search import X` something in one.
        target = item.name if item.name in known else item.name.rpartition(".")[0]
        if target in known:
            arrows[item.module].add(target)
    reached = {name: _reach(name, arrows) for name in known}
    circles = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in known
        if name in reached[name]
    }
    return [list(circle) for circle in sorted(circles)]


def _reach(start: str, arrows: dict[str, set[str]]) -> set[str]:
    """What a module imports, and what that imports, and so on."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = arrows.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found
