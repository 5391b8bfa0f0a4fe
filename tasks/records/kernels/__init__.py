"""Compiled code: from the bytes of a shard to columns."""
