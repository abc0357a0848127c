"""Where questions are lost, what ideal parts would gain, and which advice follows from it."""
