"""Stage 1: a download plan and its mirror → verified .tfrecord files on disk."""
