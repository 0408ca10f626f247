"""A nonlinear problem on several processes: asdex differentiates, PETSc solves.

The Bratu problem on a square, `-laplace(u) = strength exp(u)` with `u = 0` around it, by
Newton's method and conjugate gradients. Each process holds some lines of the grid. PETSc
sends it the line before and the one after; from these it computes its own rows of the
residual and, by asdex, of the Jacobian.

    mpirun -n 2 python petsc.py

needs `petsc4py`. That of Debian 12 is for an older NumPy than JAX needs. After `apt-get
install libpetsc-real-dev` it can be built, without optimization in less than a minute:

    pip install 'cython<3' 'setuptools<66' wheel
    PETSC_DIR=/usr/lib/petsc CFLAGS=-O0 pip install --no-build-isolation petsc4py==3.18.5
"""

import argparse
import sys

import jax
import jax.numpy as jnp
import numpy as np
import petsc4py
import scipy.sparse

import asdex

petsc4py.init(sys.argv[:1])
from petsc4py import PETSc  # noqa: E402 -- after `init`

jax.config.update("jax_enable_x64", True)
STRENGTH = 6.0


def residual(u: jax.Array, side: int) -> jax.Array:
    """On the lines of one process, from these, one line on either side and the boundary."""
    neighbors = u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2]
    inside = u[1:-1, 1:-1]
    return 4 * inside - neighbors - STRENGTH / (side + 1) ** 2 * jnp.exp(inside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=200)
    side = parser.parse_args().side

    comm = PETSc.COMM_WORLD
    around = PETSc.DM.BoundaryType.GHOSTED
    grid = PETSc.DMDA().create(
        dof=1,
        sizes=(side, side),
        proc_sizes=(1, comm.size),
        boundary_type=(around, around),
        stencil_width=1,
        setup=True,
    )
    u, local = grid.createGlobalVec(), grid.createLocalVec()
    shape = (-1, side + 2)
    first, last = u.getOwnershipRange()

    evaluate = jax.jit(lambda u: residual(u, side))
    jacobian = asdex.jacobian(
        lambda u: residual(u, side),
        jnp.asarray(local.getArray().reshape(shape)),
        output_format="operator",
    )
    values = jax.jit(lambda u: jacobian(u).data)
    indptr, indices, _ = asdex.csr_structure(jacobian.sparsity)  # The order of detection.
    # From elements of the local vector to columns; PETSc ignores -1, which is the boundary.
    columns = grid.getLGMap().getIndices()[indices]
    matrix = grid.createMatrix()

    def lines(u: PETSc.Vec) -> np.ndarray:
        grid.globalToLocal(u, local)
        return local.getArray(readonly=True).reshape(shape)

    def set_residual(snes: PETSc.SNES, u: PETSc.Vec, out: PETSc.Vec) -> None:
        out.setArray(np.asarray(evaluate(lines(u))).ravel())

    def set_jacobian(
        snes: PETSc.SNES, u: PETSc.Vec, matrix: PETSc.Mat, preconditioner: PETSc.Mat
    ) -> None:
        matrix.setValuesCSR(indptr, columns, np.asarray(values(lines(u))))
        matrix.assemble()

    solver = PETSc.SNES().create(comm)
    solver.setFunction(set_residual, u.duplicate())
    solver.setJacobian(set_jacobian, matrix)
    solver.setTolerances(rtol=1e-12)
    solver.getKSP().setType("cg")
    solver.solve(None, u)

    set_jacobian(solver, u, matrix, matrix)
    expected, norm = by_scipy(u, side)
    indptr, indices, entries = matrix.getValuesCSR()
    rows = scipy.sparse.csr_array((entries, indices, indptr), (last - first, side**2))
    difference = (rows - expected[first:last]).tocoo().data
    print(
        f"process {comm.rank} of {comm.size}: rows {first} to {last}, "
        f"{solver.getIterationNumber()} iterations, residual {norm:.1e}, "
        f"difference {np.abs(difference).max(initial=0.0):.1e}",
        flush=True,
    )


def by_scipy(u: PETSc.Vec, side: int) -> tuple[scipy.sparse.csr_array, float]:
    """The Jacobian and the norm of the residual, of the whole grid in every process."""
    scatter, whole = PETSc.Scatter.toAll(u)
    scatter.scatter(u, whole)
    line = scipy.sparse.diags_array(
        [-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(side, side)
    )
    eye = scipy.sparse.eye_array(side)
    laplace = scipy.sparse.kron(line, eye) + scipy.sparse.kron(eye, line)
    reaction = STRENGTH / (side + 1) ** 2 * np.exp(whole.getArray())
    matrix = (laplace - scipy.sparse.diags_array(reaction)).tocsr()
    return matrix, float(np.linalg.norm(laplace @ whole.getArray() - reaction))


if __name__ == "__main__":
    main()
