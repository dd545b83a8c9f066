"""A puppet as laikaroto knows it: the template of its points and shapes, and its ground truth."""
