"""Values on the wire: what each kind of column accepts, and the arrays that a model file takes."""
