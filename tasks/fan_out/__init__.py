"""Many videos over many machines: split into batches, recorded in ledgers, and watched."""
