"""Trial, confirm and roll back as one transition table: events in, commands out."""
