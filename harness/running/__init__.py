"""How planned calls are carried out, in child processes and here, and how single queries are timed."""
