"""What may go from a home: old versions, parts, models and leftovers that nothing refers to, found and then deleted."""
