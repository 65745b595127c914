"""Face tokens: a selfie's vector, encrypted, which the guest's browser keeps instead of the selfie.

The key is the event's: it opens nothing of another event, and nothing after a new link or an
erasure. A token is never stored here.
"""

import base64
import binascii
import hmac
import json
import secrets
import struct
from hashlib import sha256
from time import time

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from models.errors import SelfieError
from models.tables import Event
from models.vocabulary import SelfieCode, SelfieFace

TOKEN_S = 2 * 3600
_NONCE_BYTES = 12  # AES-GCM's
_HEAD = struct.Struct("<QH")  # when it ends, bytes of the notes
_HALF = np.dtype("<f2")  # as the database compares: searches by either are the same to the bit


def seal_face(
    event: Event, pack: str, faces: tuple[SelfieFace, ...], vector: npt.NDArray[np.float32]
) -> str:
    """A token for a person's vector, which this pack made of these selfies' faces."""
    notes = json.dumps([pack, [[*face.box, face.confidence] for face in faces]]).encode()
    head = _HEAD.pack(int(time()) + TOKEN_S, len(notes))
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = _build_cipher(event).encrypt(
        nonce, head + notes + vector.astype(_HALF).tobytes(), None
    )
    return base64.urlsafe_b64encode(nonce + sealed).decode()


def open_face(
    event: Event, token: str
) -> tuple[str, tuple[SelfieFace, ...], npt.NDArray[np.float32]]:
    """The pack, the faces and the vector of a token.

    Raises SelfieError for one that has expired, was altered, or is not of this event's link.
    """
    try:
        packed = base64.b64decode(token.encode(), b"-_", validate=True)
        nonce, sealed = packed[:_NONCE_BYTES], packed[_NONCE_BYTES:]
        content = _build_cipher(event).decrypt(nonce, sealed, None)
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise build_refusal() from error
    end, length = _HEAD.unpack_from(content)
    if end <= time():
        raise build_refusal()
    notes = content[_HEAD.size : _HEAD.size + length]
    pack, faces = json.loads(notes)
    found = tuple(SelfieFace((x1, y1, x2, y2), score) for x1, y1, x2, y2, score in faces)
    return pack, found, np.frombuffer(content[_HEAD.size + length :], _HALF).astype(np.float32)


def build_refusal() -> SelfieError:
    """The answer to a token that is worth nothing, or nothing any more."""
    return SelfieError(
        "This face_token has expired or is not of this event: search with the selfie again.",
        SelfieCode.SELFIE_NEEDED,
    )


def _build_cipher(event: Event) -> AESGCM:
    key = hmac.new(event.guest_key.bytes, b"facepass face token", sha256).digest()
    return AESGCM(key)
