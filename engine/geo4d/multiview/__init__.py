"""Dense depth from frames and known cameras."""
