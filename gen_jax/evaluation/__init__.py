"""Scores: of a run, while it trains, and of runs side by side; what sees the images, and what tells them apart."""
