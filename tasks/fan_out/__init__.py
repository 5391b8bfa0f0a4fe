"""Many videos over many machines: split into batches, kept account of, and watched."""
