"""How inputs enter a circuit."""

from qhybrid_circuits.encoding.angle import angle_encoding

__all__ = ["angle_encoding"]
