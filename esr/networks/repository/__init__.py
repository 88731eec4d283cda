"""Networks of a challenge's repository, built by its own unmodified script inside a worker."""
