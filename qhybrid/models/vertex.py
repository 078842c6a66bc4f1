"""The bottleneck of the U-Net: two residual blocks around full attention."""

from torch import Tensor, nn

from qhybrid.models.attention import VertexAttention
from qhybrid.models.resnet_block import ResNetBlock


class Vertex(nn.Module):
    """Residual block, full attention, residual block, all at one width."""

    def __init__(self, first: ResNetBlock, attention: VertexAttention, second: ResNetBlock) -> None:
        """Chain blocks that were built elsewhere, classical or quantum."""
        super().__init__()
        self.first, self.attention, self.second = first, attention, second

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map x of shape (B, C, 2, 2) and time (B, time_features) to (B, C, 2, 2)."""
        x = self.attention(self.first(x, time))
        return self.second(x, time)  # type: ignore[no-any-return]
