"""The engine against the guide's loop, and the whole job around it (`make bench`)."""
