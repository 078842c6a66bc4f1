"""Words of messages and reports."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with the word for what is counted, in the plural where there is not one."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
