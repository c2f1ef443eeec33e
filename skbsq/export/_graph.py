"""An ONNX graph under construction."""

from itertools import count

import numpy as np
from onnx import helper, numpy_helper


class Graph:
    """Nodes and constants of an ONNX graph, in the order in which they were added.

    Parameters
    ----------
    new_name : callable, default=None
        From a hint to a name that is not taken. None: the hint with a number.
    """

    def __init__(self, new_name=None):
        numbers = count()
        self._new_name = new_name or (lambda hint: f"{hint}_{next(numbers)}")
        self.nodes = []
        self.constants = []

    def add(self, op, *inputs, **attributes):
        """Add a node of one output.

        Parameters
        ----------
        op : str
        *inputs : str or ndarray
            Names of values, or constants.
        **attributes
            Of the operator.

        Returns
        -------
        str
            Name of the output.
        """
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        output = self._new_name(op)
        self.nodes.append(helper.make_node(op, names, [output], name=output, **attributes))
        return output

    def constant(self, array):
        """Add a constant; inputs of `add` need that only to share one.

        Parameters
        ----------
        array : ndarray

        Returns
        -------
        str
        """
        name = self._new_name("constant")
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def cast(self, value, dtype):
        """Add a cast to a NumPy dtype.

        Parameters
        ----------
        value : str
        dtype : dtype

        Returns
        -------
        str
        """
        return self.add("Cast", value, to=tensor_type(dtype))

    def split(self, value, sizes):
        """Add a split along the second axis.

        Parameters
        ----------
        value : str
        sizes : list of int

        Returns
        -------
        list of str
        """
        outputs = [self._new_name("Split") for _ in sizes]
        inputs = [value, self.constant(np.array(sizes, dtype=np.int64))]
        self.nodes.append(helper.make_node("Split", inputs, outputs, name=outputs[0], axis=1))
        return outputs

    def name_output(self, value, name):
        """Give a value the name it has outside.

        Parameters
        ----------
        value, name : str
        """
        self.nodes.append(helper.make_node("Identity", [value], [name], name=self._new_name("Identity")))


def tensor_type(dtype):
    """Element type of a tensor for a NumPy dtype; strings for object."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
