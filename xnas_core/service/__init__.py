"""SearchService: searches and what they found, over gRPC. Pure of Kubernetes; a backend knows where searches live."""
