"""The child process that holds one network, and its parent's handle on it; JSON lines between them."""
