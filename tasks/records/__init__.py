"""Stage 2: .tfrecord → Arrow: every record kept, or dropped with a reason."""
