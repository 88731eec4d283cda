"""Weight files and data sets: found, downloaded, verified."""
