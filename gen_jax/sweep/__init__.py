"""Many runs: grids and searches over the fields of a config, each trial an ordinary run directory."""
