"""Parts that several networks share.

Blocks are composed from ready-made modules rather than switched by flags: a network that replaces one
convolution of a block passes another module. Each frees what it no longer needs as early as it can.
"""
