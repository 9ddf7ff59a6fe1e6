"""What is done to runs, and how it is seen whether anything was lost: the parts of `experiments/faults.py`."""
