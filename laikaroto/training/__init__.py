"""Learn a character from its ground truth, and measure what was learned."""
