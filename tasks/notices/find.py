"""The photos in which a guest surely is, by the vector that was kept, as searches find them now."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from models.errors import InvalidCursorError
from models.packs import choose_pack
from models.queries.packs import register_pack
from models.session import open_session
from models.tables import Event
from tasks.faces.cache import find_pack
from tasks.faces.selfies import PersonsSelfies
from tasks.search import KnownPerson, SearchRequest, search_faces

SURELY = "surely"
PAGE = 500
TRIES = 3  # photos that a page began with may be erased before the next one


def find_sure_photos(event: Event, identity: str, vector: npt.NDArray[np.float32]) -> list[int]:
    """Ids of the event's photos that surely show a person, the most similar first.

    identity: of the pack that made the vector. Raises SelfieError where the event's faces were
    found by another one (SelfieCode.SELFIE_NEEDED), or are being found by another one now.
    """
    person = KnownPerson(identity, PersonsSelfies((), vector))
    request = SearchRequest(
        event.id or 0, (), limit=PAGE, choice=choose_pack(event), person=person, guest=True
    )
    for left in reversed(range(TRIES)):
        try:
            return _read_pages(request)
        except InvalidCursorError:
            if not left:
                raise
    return []


def _read_pages(request: SearchRequest) -> list[int]:
    found: list[int] = []
    while True:
        result = search_faces(request)
        sure = [match.photo.photo_id for match in result.matches if match.band == SURELY]
        found += sure
        if result.next_cursor is None or len(sure) < len(result.matches):
            return found
        request = replace(request, after=result.next_cursor)


def register_vectors(event: Event, identity: str) -> int:
    """The number of the pack that made a guest's vector, which is the event's own pack's."""
    licence = find_pack(choose_pack(event).model_pack).licence
    with open_session() as session:
        return register_pack(session, identity, licence)
