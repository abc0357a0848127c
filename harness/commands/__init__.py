"""What the subcommands of `harness` are: options in, printing out."""
