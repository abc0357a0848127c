"""The ways in from a shell: one module a verb, options in, printing out."""
