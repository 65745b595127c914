"""PostgreSQL stands still: whoever needs it is told so in time, and /health answers at once."""

from tests.integration.hung.conftest import SOON_S, Album, Crowd, call, expect_sentences
from tests.support.public_api import PublicApi
from tests.support.standing_still import find_postgresql, stand_still
from tests.support.waiting import wait_until

GUESTS = 50
LIMIT_S = 30


def test_whoever_needs_the_database_is_told_in_time(api: PublicApi, album: Album) -> None:
    paths = (f"/gallery/{album.token}", "/api/v1/events")
    assert [call(f"{api.url}{path}").status for path in paths] == [200, 200]
    with stand_still(find_postgresql()):
        crowd = Crowd(lambda n: call(f"{api.url}{paths[n % 2]}"), GUESTS)
        for _ in range(6):  # more than the threads that ask
            ready = call(f"{api.url}/ready")
            assert (ready.status, ready.seconds < SOON_S) == (503, True), ready
            assert "PostgreSQL" in ready.text
            health = call(f"{api.url}/health")
            assert (health.status, health.seconds < SOON_S) == (200, True), health
        expect_sentences(crowd.wait(), LIMIT_S)
    wait_until(lambda: call(f"{api.url}/gallery/{album.token}").status == 200)
    wait_until(lambda: call(f"{api.url}/ready").status == 200)
