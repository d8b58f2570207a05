"""Objectives: everything that is measured on a trained network, and the plug-in interface."""
