"""One way to do the same to many things: here, in several processes, or on many machines."""
