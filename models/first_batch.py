"""How large a run's first batch is: small, since people wait for its faces.

Nothing of a batch is stored before all of it is embedded.
"""

from sqlalchemy import text
from sqlmodel import Session

FIRST_BATCH_SIZE = 8  # photos: about a second's work on two cores

# What a dead run left is cut as it was: what that run had embedded is found in the cache.
_MEASURE = """
SELECT count(*) FROM classified JOIN photo ON photo.id = classified.photo_id
WHERE verdict = 'work' AND photo.status = 'pending'
GROUP BY photo.batch ORDER BY photo.batch LIMIT 1
"""


def choose_first_size(session: Session, *, first_batch: int, batch_size: int) -> int:
    """Photos of the first batch of the work in this transaction's table `classified`.

    first_batch: its number; only number 0, a run's very first, is a small one.
    """
    if first_batch > 0:
        return batch_size
    left = session.execute(text(_MEASURE)).scalar_one_or_none()
    return min(batch_size, FIRST_BATCH_SIZE if left is None else int(left))
