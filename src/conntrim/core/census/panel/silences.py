"""From the followed entries to the silences of each service."""

from __future__ import annotations

import numpy as np

from conntrim.core.census.classify import unpack_service
from conntrim.core.census.panel.follow import ROUNDING, Follower, together
from conntrim.core.model.silences import Silences, Silent


def silences_of(follower: Follower) -> Silences:
    """What was seen; no frame is added after this."""
    now, intervals = follower.rows.service, follower.intervals
    seen = together(follower.close().silences)
    return Silences(
        watched=sum(intervals),
        noticed=max(max(intervals, default=0.0), ROUNDING + 2 * follower.blur),
        weight=1 / follower.share,
        doubt=follower.doubt,
        services=tuple(
            Silent(unpack_service(int(code)), int((now == code).sum()), seen.high[seen.service == code])
            for code in np.unique(np.concatenate([now, seen.service]))
        ),
    )
