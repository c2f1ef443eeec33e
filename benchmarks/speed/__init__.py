"""Seconds and memory, on the computer that trains and on the one that receives."""
