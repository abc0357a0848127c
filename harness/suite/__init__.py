"""What is asked: a suite as frozen values, how its file is read, and where the shipped ones are."""
