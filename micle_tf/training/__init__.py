"""Devices, the one training loop, run directories, and the modes that train."""
