"""Read and write datasets: folders in BEIR layout, datasets built from installed packages, runs, slices of queries."""
