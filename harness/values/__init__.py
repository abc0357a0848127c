"""What modules give each other: frozen values that know nothing of how they were made."""
