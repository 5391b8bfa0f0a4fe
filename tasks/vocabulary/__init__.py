"""The labels of YouTube-8M: read, searched, summarised."""
