"""Seconds and memory of training, and of the computer that receives the codes."""
