"""Benchmarks on a real cluster: that of KUBECONFIG, with images present and the store of XNAS_S3_*."""
