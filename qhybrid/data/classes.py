"""Choosing classes by name or by number."""

from collections.abc import Mapping, Sequence

from qhybrid_circuits.errors import RequestError, UnknownNameError


def select_classes(
    requested: str | Sequence[str | int], class_names: Mapping[int, str]
) -> tuple[int, ...]:
    """Return the label ids of the requested classes, ascending.

    A request matches a class's name (exactly, else ignoring case) or its number. Where the names
    are numbers themselves, as folders called "3" and "7" are, only names count.

    Args:
        requested: Names or numbers, or one string of them separated by commas.
        class_names: Label id -> name.

    Raises:
        UnknownNameError: A class that does not exist.
        RequestError: No class was requested.
    """
    tokens = requested.split(",") if isinstance(requested, str) else [str(r) for r in requested]
    tokens = [token.strip() for token in tokens if token.strip()]
    if not tokens:
        raise RequestError(
            f"no class is named; give some of {', '.join(class_names.values())}, or leave it out"
        )
    return tuple(sorted({_label_id(token, class_names) for token in tokens}))


def _label_id(token: str, class_names: Mapping[int, str]) -> int:
    numbered = any(name.isdecimal() for name in class_names.values())
    numbers = {} if numbered else {str(label): label for label in class_names}
    exact = {name: label for label, name in class_names.items()}
    folded = {name.casefold(): label for label, name in class_names.items()}
    for table, key in ((exact, token), (folded, token.casefold()), (numbers, token)):
        if key in table:
            return table[key]
    hint = f"or their numbers {', '.join(numbers)}" if numbers else ""
    raise UnknownNameError("class", token, class_names.values(), hint)
