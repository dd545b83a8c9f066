"""Records of tracking points and roto shapes, and Bezier maths on them."""
