"""When a damaged shard is fatal.

In: tallies. Out: nothing, or an error. Does not look for damage.
"""

from tasks.contracts.artifacts import ShardTally
from tasks.contracts.errors import DamagedShardError


def refuse_damage(tally: ShardTally, path: object = None) -> None:
    """Raise for the first damage in a tally, if any.

    Raises:
        DamagedShardError: with the place: `path`, where the shard still lies on the disk.
    """
    for damage in tally.damage:
        place = f"{path or damage.path} is damaged at byte {damage.offset}: {damage.detail} ({damage.reason})."
        raise DamagedShardError(
            f"{place} Fetch it again, or leave out `--strict`: damaged records are then dropped and counted."
        )
