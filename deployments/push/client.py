"""The HTTP client of FacePass's REST API, used by the push tool and the demo.

A failed call raises a product error with one sentence for the user.
"""

import time
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from models.errors import ApiUnavailableError, ConfigurationError, PushRefusedError

TIMEOUT_S = 30
TRIES = 4  # of a call that came too often
LONGEST_WAIT_S = 60.0


class RestApi:
    """Calls and their JSON answers.

    Every call raises ApiUnavailableError (another try may help), PushRefusedError (the API says
    no, in words) or ConfigurationError (what answers there is not the API).
    """

    def __init__(
        self, url: str, key: str | None, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._url, self._has_key = url, key is not None
        try:
            self._client = httpx.Client(
                base_url=url,
                headers={b"X-API-Key": key.encode()} if key else None,
                timeout=TIMEOUT_S,
                transport=transport,
            )
        except httpx.InvalidURL as error:
            raise self._explain_address() from error

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:  # noqa: ANN401 (any JSON)
        """GET."""
        return self._read_answer(self._send("GET", path, params=query))

    def post(self, path: str, body: dict[str, Any]) -> Any:  # noqa: ANN401 (any JSON)
        """POST."""
        return self._read_answer(self._send("POST", path, json=body))

    def post_new(self, path: str, body: dict[str, Any]) -> bool:
        """POST something new: whether it was, or was there already."""
        answer = self._send("POST", path, json=body)
        if answer.status_code == HTTPStatus.CONFLICT:
            return False
        self._read_answer(answer)
        return True

    def _send(self, method: str, path: str, **body: Any) -> httpx.Response:  # noqa: ANN401 (whatever JSON holds)
        for attempt in range(TRIES):
            try:
                answer = self._client.request(method, f"/api/v1/{quote(path)}", **body)
            except httpx.UnsupportedProtocol as error:
                raise self._explain_address() from error
            except httpx.TransportError as error:
                raise ApiUnavailableError(
                    f"FacePass's API does not answer at {self._url} ({type(error).__name__}): is "
                    "it running? Run this again, and it goes on where it is now."
                ) from error
            if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS or attempt == TRIES - 1:
                break
            time.sleep(read_wait(answer))
        return answer

    def _read_answer(self, answer: httpx.Response) -> Any:  # noqa: ANN401 (any JSON)
        try:
            content = answer.json()
            detail = "" if answer.is_success else str(content["detail"])
        except (ValueError, KeyError, TypeError) as error:
            if answer.is_server_error:
                detail = f"it answers {answer.status_code}"
            else:
                raise self._explain_address() from error
        if answer.is_success:
            return content
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise PushRefusedError(
                "The API does not know this key: correct FACEPASS_API_KEY."
                if self._has_key
                else "The API asks for a key: set FACEPASS_API_KEY to yours."
            )
        if answer.is_server_error or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise ApiUnavailableError(
                f"FacePass's API is in trouble ({detail.rstrip('.')}): run this again later, and "
                "it goes on where it is now."
            )
        raise PushRefusedError(detail)

    def _explain_address(self) -> ConfigurationError:
        return ConfigurationError(
            f"What answers at {self._url} is not FacePass's API: FACEPASS_API_URL must be its "
            "address, such as https://faces.example.com."
        )


def read_wait(answer: httpx.Response) -> float:
    """Seconds that the API asks to wait."""
    try:
        wanted = float(answer.headers.get("Retry-After", "1"))
    except ValueError:
        wanted = 1.0
    return min(max(wanted, 0.1), LONGEST_WAIT_S)
