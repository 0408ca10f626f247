"""What every folder builds on, and what imports nothing of asdex."""
