"""What leaves a run for other programs: data sets, weights, compiled functions, a card."""
