"""Training: data on the device, one loop, states to go on from."""
