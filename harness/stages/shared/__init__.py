"""What several stages need. Every module beside this package is a stage."""
