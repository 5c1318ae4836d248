"""What flags say about roles and replication.

Promise: values only; whoever reads them decides what they mean.
"""

import attrs


@attrs.frozen
class RoleOptions:
    """The flags that concern the roles.

    Attributes:
        promotion_delay_s: what a promotion takes when no main is connected (MEMGRAPH L14).
        guards_promotion: a replica inside a replicated commit refuses it (3.9 and later).
        access_timeout_s: how long a transaction waits while a snapshot is loaded.
        is_managed: a management port is set, so that only a coordinator may change roles.
    """

    address: str
    check_frequency_s: int
    oldest_match: bool
    promotion_delay_s: float = 0.0
    guards_promotion: bool = False
    access_timeout_s: float = 1.0
    is_managed: bool = False
