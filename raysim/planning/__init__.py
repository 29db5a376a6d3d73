"""What a study will take, before it starts: bytes, memory, time and where it goes."""
