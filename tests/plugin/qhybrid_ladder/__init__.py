"""What a package of somebody else looks like."""
