"""What is run: a benchmark, a diagnosis, a learning curve, a calibration, where producing and judging meet."""
