"""Mattes: roto shapes to coverage images, layers, EXR out."""
