"""Drawing by rule, in JAX: shapes, strokes, triangles and solids as functions whose parameters can be learned.

    sdf         shapes as signed distances, put together and turned into coverage
    curves      strokes through points: Bezier, B-spline, Catmull-Rom
    triangles   meshes in two dimensions, drawn hard or with gradients
    solids      meshes in three dimensions, a camera, light

Lengths are pixels, x points right and y down, and the centre of the pixel in row i and column j is (j + 1/2, i + 1/2).
Everything is a pure function of arrays: jit, vmap and grad go through.
"""
