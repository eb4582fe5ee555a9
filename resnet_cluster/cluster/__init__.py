"""The only rooms that know Ray.

Read in this order: `submission` (which run a job is), `launch` (a job in this process), `driver`
(one attempt, from its first event to its last), `trainer` and `worker` (what Ray Train is given).
"""

from __future__ import annotations
