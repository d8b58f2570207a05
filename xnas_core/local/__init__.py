"""One machine: the output folder, its lock, and `xnas run` without the terminal."""
