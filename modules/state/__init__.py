"""The run's state: immutable shards, manifest and lock in the store; an index of them on the local disk."""
