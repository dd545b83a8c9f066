"""What artists changed: recorded for good, carried to other frames, and learned from."""
