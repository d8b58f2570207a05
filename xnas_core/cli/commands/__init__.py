"""One module for each command: a function of the command's name, and EXAMPLE for its help."""
