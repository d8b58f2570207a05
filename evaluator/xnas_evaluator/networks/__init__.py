"""Networks: the torch module of a graph, whatever space it came from."""
