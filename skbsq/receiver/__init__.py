"""The server side of a fleet: payloads of many devices to predictions. Needs NumPy alone, and what its readers need."""

from skbsq.receiver._counts import Counts
from skbsq.receiver._receiver import Received, Receiver

__all__ = ["Counts", "Received", "Receiver"]
