"""What activations tell of a trained network's mistakes: the debugging outputs of Carmichael et al. 2023, section 4.

`make.diagnose` computes and stores them all; one module for each output.
"""
