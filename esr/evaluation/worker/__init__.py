"""The child process that holds one network, its parent's handle on it, and the messages between them."""
