"""A pack that its owner made with `facepass pack`, on the real stack: synced and searched."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from deployments.facepass import main
from models.settings import get_settings
from tasks.packs.folder import write_figures
from tasks.packs.registry import resolve_pack
from tests.support.event_box import EventBox
from tests.support.guests import make_album, search, take_selfie
from tests.support.standin_pack import STANDIN_FIGURES, write_standin_recogniser

OWN = "own_recogniser"


@pytest.fixture
def api(joined_stack: dict[str, str]) -> Iterator[httpx.Client]:
    url = joined_stack["FACEPASS_API_URL"]
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


def read_pack(event: EventBox) -> tuple[str, int, int]:
    """The identity of the stored faces' only pack, the numbers a face, and the faces."""
    (row,) = event.query(
        "SELECT pack.identity, vector_dims(embedding) AS dims, count(*) AS faces FROM face"
        " JOIN pack ON pack.id = face.pack_id WHERE face.event_id = :event GROUP BY 1, 2"
    )
    return row.identity, row.dims, row.faces


def test_a_pack_of_ones_own_finds_people_under_both_profiles(
    event: EventBox,
    api: httpx.Client,
    configure: Callable[..., None],
    tmp_path: Path,
) -> None:
    write_standin_recogniser(tmp_path / "glintr100.onnx")
    words = ["pack", str(tmp_path / "glintr100.onnx"), "--name", OWN]
    assert main([*words, "--licence", "made up for tests", "--commercial", "--replace"]) == 0
    folder = get_settings().model_root.expanduser() / "models" / OWN
    photos = dict(make_album())
    for name in ("6 plain.jpg", "1 plain.jpg", "group plain.jpg"):
        event.put(name, photos[name])
    configure(model_pack=OWN)

    # Not measured yet: the sync ends, and says how to.
    refused = event.sync()
    assert refused.state.name == "Failed"
    assert f"facepass accuracy FOLDER --model-pack {folder} --write" in str(refused.state.message)
    event.query(f"UPDATE event SET model_pack = '{OWN}' WHERE id = :event RETURNING 1")
    answer = search(api, event, take_selfie(6))
    assert answer.status_code == 503
    assert str(folder) not in answer.text

    figures = resolve_pack(get_settings(), need_figures=False).figures
    write_figures(folder, replace(STANDIN_FIGURES, detection=figures.detection))
    for profile, size in (("standard", ""), ("groups", "+det1280")):
        event.query(f"UPDATE event SET profile = '{profile}' WHERE id = :event RETURNING 1")
        assert event.sync().result["no_face"] == 0
        identity, dims, faces = read_pack(event)
        assert identity.startswith(f"{OWN}@")
        assert identity.endswith(f"+look2{size}")
        assert (dims, faces) == (512, 8)  # six in the group, two alone
        found = search(api, event, take_selfie(6))
        assert found.status_code == 200, found.text
        best = found.json()["matches"][0]
        assert best["s3_key"] == f"{event.prefix}6 plain.jpg"
        assert best["similarity"] > STANDIN_FIGURES.surely
