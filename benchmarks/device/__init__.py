"""Work of a device: the C on microcontrollers, and bytes on the wire."""
