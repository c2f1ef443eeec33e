"""Joint training that keeps the head: floats, codes or bytes in, predictions out."""
