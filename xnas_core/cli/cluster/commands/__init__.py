"""Commands for searches on a cluster, one file each."""
