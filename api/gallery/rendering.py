"""Templates filled in, and the two files that pages load."""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.gallery.plurals import Language
from api.gallery.texts import list_script_texts, tell

_FOLDER = Path(__file__).parent
STATIC_FILES = {"gallery.css": "text/css", "gallery.js": "text/javascript"}


def render_page(template: str, language: Language, **values: object) -> str:
    """A page in one language; everything filled in is escaped."""

    def tell_here(key: str, count: int | None = None, **words: object) -> str:
        return tell(language, key, count, **words)

    return (
        _open_templates()
        .get_template(template)
        .render(language=language, tell=tell_here, tell_in=tell, link_static=link_static, **values)
    )


def read_script_texts(language: Language) -> dict[str, object]:
    """What the script says, for the page to carry."""
    return {**list_script_texts(language)}


def find_static_file(name: str) -> Path | None:
    """The stylesheet or the script; None for any other name."""
    return _FOLDER / "static" / name if name in STATIC_FILES else None


@lru_cache(maxsize=len(STATIC_FILES))
def link_static(name: str) -> str:
    """A file's address, new with its content: browsers may keep it for ever."""
    content = (_FOLDER / "static" / name).read_bytes()
    return f"/gallery/static/{name}?v={sha256(content).hexdigest()[:12]}"


@lru_cache(maxsize=1)
def _open_templates() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Cyrillic as it is: half the bytes. What could end the script element stays escaped.
    templates.policies["json.dumps_kwargs"] = {"ensure_ascii": False}
    return templates
