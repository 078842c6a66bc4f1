"""Parts of U-Nets on the CPU in single precision, by compiled kernels.

Each module here has functions that torch can differentiate, and beside it one of kernels. A
function is differentiated by kernels once, and by torch's own operations, which stand beside it,
where derivatives of the gradients are asked for.
"""
