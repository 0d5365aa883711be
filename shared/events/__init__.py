"""What happens on the platform: the catalogue of events and the envelope they travel in."""

from shared.events.catalogue import CATALOGUE, Entry, EventData
from shared.events.envelope import Event, new_event

__all__ = ["CATALOGUE", "Entry", "Event", "EventData", "new_event"]
