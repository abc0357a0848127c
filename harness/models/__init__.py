"""Models that run here: loaded, asked to write, searched with, and faked."""
