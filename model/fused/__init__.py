"""An ALBERT layer whose steps between the matrix products are kernels of its own.

It computes what model/modeling_albert.py's layer does, in the type of its matrix products throughout: in
half precision its LayerNorms read and write that, and sum in fp32. Gradients of the weights that all
layers share are added up by the products and kernels themselves. As in model/shared_linear.py each use
must depend on the one before, and there are no second derivatives.
"""
