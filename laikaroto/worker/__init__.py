"""What a farm task or a foreground command runs: each step one readable function."""
