"""The operator: runs searches on a cluster (architecture.md, "The operator")."""
