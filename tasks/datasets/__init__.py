"""Dataset versions: published, found, verified, compared, loaded, exported."""
