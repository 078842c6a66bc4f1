"""Every setting, defined once: names, types, defaults, limits and what they mean."""
