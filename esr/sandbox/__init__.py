"""Containment of processes that run strangers' code: namespaces, Landlock, seccomp, limits."""
