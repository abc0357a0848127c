"""Results on disk: outcomes, diagnoses and accepted baselines, and what is read back from them."""
