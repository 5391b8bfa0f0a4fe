"""The commands of `reelsift`: each reads its options, calls a flow or a stage, and shows what came of it."""
