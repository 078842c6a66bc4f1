"""The one cache of things that are slow to make: bounded, the least recently used leaves first."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Identity:
    """A key that is an object itself, whatever it says of equality; keeps the object alive."""

    __slots__ = ("of",)

    def __init__(self, of: Any) -> None:
        self.of = of

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.of is other.of

    def __hash__(self) -> int:
        return id(self.of)


class Cache(Generic[Value]):
    """At most `size` values by key.

    It holds no lock: two threads may make one value twice, and then both are right. A copy, also by
    pickle, starts empty: values can be large, and keys of `Identity` would mean other objects.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made now if it is not kept."""
        try:
            value = self._kept[key]
            self._kept.move_to_end(key)
        except KeyError:
            value = self._kept[key] = make()
            while len(self._kept) > self.size:
                self._kept.popitem(last=False)
        return value

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.size,)
