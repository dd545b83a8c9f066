"""What was learned of a character: packages, the crop a network sees, and inference."""
