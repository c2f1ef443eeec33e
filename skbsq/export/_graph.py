"""Build an ONNX graph."""

from itertools import count

import numpy as np
from onnx import helper, numpy_helper


class Graph:
    """Nodes and constants of an ONNX graph, in the order in which they were added.

    Parameters
    ----------
    new_name : callable, default=None
        Turns a hint into an unused name. None: appends a number.
    taken : collection of str, default=()
        Names that inputs have.
    """

    def __init__(self, new_name=None, taken=()):
        numbers = count()
        self._new_name = new_name or (
            lambda hint: next(name for number in numbers if (name := f"{hint}_{number}") not in taken)
        )
        self.nodes = []
        self.constants = []

    def add(self, op, *inputs, **attributes):
        """Add a node with one output, and return the name of the output. Inputs are names of values, or constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        output = self._new_name(op)
        self.nodes.append(helper.make_node(op, names, [output], name=output, **attributes))
        return output

    def constant(self, array):
        """Add a constant and return its name. `add` does this itself, so call it only to share a constant."""
        name = self._new_name("constant")
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def cast(self, value, dtype):
        """Add a cast to a NumPy dtype, and return the name of the result."""
        return self.add("Cast", value, to=tensor_type(dtype))

    def split(self, value, sizes):
        """Add a split into parts of these sizes along the second axis, and return the names of the parts."""
        outputs = [self._new_name("Split") for _ in sizes]
        inputs = [value, self.constant(np.array(sizes, dtype=np.int64))]
        self.nodes.append(helper.make_node("Split", inputs, outputs, name=outputs[0], axis=1))
        return outputs

    def name_output(self, value, name):
        """Make a value an output of the model, under this name."""
        self.nodes.append(helper.make_node("Identity", [value], [name], name=self._new_name("Identity")))


def tensor_type(dtype):
    """Return the ONNX element type for a NumPy dtype; strings for object."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
