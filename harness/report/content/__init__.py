"""What is shown: sentences and tables as values, built once for every rendering."""
