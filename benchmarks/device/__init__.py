"""What a device runs and sends: the C on microcontrollers, and bytes on the wire."""
