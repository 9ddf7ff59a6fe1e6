"""What a run stands on: the mesh of devices, checkpoints, and the run directory."""
