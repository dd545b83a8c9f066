"""From what the network says of single frames to one settled animation of the shot."""
