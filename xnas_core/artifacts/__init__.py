"""Where results are kept: the key scheme, the store protocol and its implementations."""
