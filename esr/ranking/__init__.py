"""Records, or a published table, to ranks with their uncertainty; nothing here needs torch."""
