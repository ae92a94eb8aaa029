//! Matrix-free linear systems and fixed points, one or a batch of independent ones.
//!
//! Every member of a batch stops by its own residual; a member that has stopped no longer moves,
//! so its result is that of solving it alone.

use super::{RunPlan, Slot};
use crate::error::ExecError;
use crate::plan::Plain;
use thalweg_graph::{DType, FixedPoint, LinearSolve, Solver};

/// Iterates that the methods keep.
const VECTORS: usize = 8;

pub(super) fn scratch_bytes(plain: &Plain) -> usize {
    let arena = plain.bodies.iter().map(|body| body.arena_bytes).max().unwrap_or(0);
    let vector = plain.outputs[0].1.element_count() * 8;
    arena.next_multiple_of(64) + (VECTORS + 2) * vector.next_multiple_of(64)
}

/// A batch of vectors, in f64 whatever the operands' type.
struct Batch {
    members: usize,
    length: usize,
}

impl Batch {
    fn of(out: &Slot<'_>, n_batch: usize) -> Batch {
        let members = out.ty.shape[..n_batch].iter().product();
        let length = out.ty.shape[n_batch..].iter().product();
        Batch { members, length }
    }

    /// Inner product of member `m`, in increasing index.
    fn dot(&self, m: usize, a: &[f64], b: &[f64]) -> f64 {
        let range = m * self.length..(m + 1) * self.length;
        a[range.clone()].iter().zip(&b[range]).map(|(x, y)| x * y).sum()
    }

    /// `y += scale[m] * x` for each member.
    fn add(&self, y: &mut [f64], scale: &[f64], x: &[f64]) {
        for (m, &scale) in scale.iter().enumerate() {
            let range = m * self.length..(m + 1) * self.length;
            for (y, x) in y[range.clone()].iter_mut().zip(&x[range]) {
                *y += scale * x;
            }
        }
    }
}

unsafe fn read(slot: &Slot<'_>) -> Vec<f64> {
    // SAFETY: floats, by the shape rule.
    unsafe {
        match slot.ty.dtype {
            DType::F64 => slot.read::<f64>().to_vec(),
            _ => slot.read::<f32>().iter().map(|&x| f64::from(x)).collect(),
        }
    }
}

unsafe fn write(slot: &Slot<'_>, values: &[f64]) {
    // SAFETY: as many elements as the slot has, of its type.
    unsafe {
        for (k, &x) in values.iter().enumerate() {
            match slot.ty.dtype {
                DType::F64 => *slot.target::<f64>(k, 1) = x,
                _ => *slot.target::<f32>(k, 1) = x as f32,
            }
        }
    }
}

/// Applies the body to a vector: `(constants.., x) -> y`.
struct Body<'a> {
    plain: &'a Plain,
    inputs: Vec<*mut u8>,
    argument: Slot<'a>,
    result: Slot<'a>,
    arena: *mut u8,
    run_plan: RunPlan<'a>,
}

impl<'a> Body<'a> {
    unsafe fn new(
        plain: &'a Plain,
        inputs: &[Slot<'_>],
        out: &Slot<'a>,
        scratch: *mut u8,
        run_plan: RunPlan<'a>,
    ) -> Body<'a> {
        let vector = out.ty.size_in_bytes().next_multiple_of(64);
        let argument = Slot { start: scratch, ty: out.ty };
        let result = Slot { start: scratch.wrapping_add(vector), ty: out.ty };
        let mut pointers: Vec<*mut u8> = inputs.iter().map(|slot| slot.start).collect();
        if let Some(last) = pointers.last_mut() {
            *last = argument.start;
        }
        let arena = scratch.wrapping_add(2 * vector);
        Body { plain, inputs: pointers, argument, result, arena, run_plan }
    }

    unsafe fn apply(&self, x: &[f64]) -> Result<Vec<f64>, ExecError> {
        // SAFETY: argument and result are this solver's own scratch.
        unsafe {
            write(&self.argument, x);
            (self.run_plan)(&self.plain.bodies[0], &self.inputs, &[self.result.start], self.arena)?;
            Ok(read(&self.result))
        }
    }
}

pub(super) unsafe fn linear_solve(
    solve: &LinearSolve,
    plain: &Plain,
    inputs: &[Slot<'_>],
    out: &Slot<'_>,
    scratch: *mut u8,
    run_plan: RunPlan<'_>,
) -> Result<(), ExecError> {
    let batch = Batch::of(out, solve.n_batch);
    let tolerance = f64::from_bits(solve.tolerance_bits);
    // SAFETY: the last operand is the right side; scratch as planned.
    let x = unsafe {
        let b = read(&inputs[inputs.len() - 1]);
        let body = Body::new(plain, inputs, out, scratch, run_plan);
        let apply = |x: &[f64]| body.apply(x);
        match solve.solver {
            Solver::ConjugateGradient => {
                conjugate_gradient(&batch, &b, solve.max_iterations, tolerance, apply)?
            }
            Solver::BiConjugateGradientStabilized => {
                stabilized(&batch, &b, solve.max_iterations, tolerance, apply)?
            }
        }
    };
    // SAFETY: the result has the right side's type.
    unsafe { write(out, &x) };
    Ok(())
}

/// Members that still move: residual above the tolerance times the right side's norm.
fn active(batch: &Batch, r: &[f64], b: &[f64], tolerance: f64) -> Vec<bool> {
    (0..batch.members)
        .map(|m| batch.dot(m, r, r).sqrt() > tolerance * batch.dot(m, b, b).sqrt())
        .collect()
}

/// `a / b` where the member moves and `b` is not zero, else zero.
fn ratio(active: &[bool], a: &[f64], b: &[f64]) -> Vec<f64> {
    active
        .iter()
        .zip(a.iter().zip(b))
        .map(|(&active, (&a, &b))| if active && b != 0.0 { a / b } else { 0.0 })
        .collect()
}

/// Hestenes and Stiefel, Methods of conjugate gradients for solving linear systems, 1952.
fn conjugate_gradient(
    batch: &Batch,
    b: &[f64],
    max_iterations: usize,
    tolerance: f64,
    apply: impl Fn(&[f64]) -> Result<Vec<f64>, ExecError>,
) -> Result<Vec<f64>, ExecError> {
    let dots = |x: &[f64], y: &[f64]| -> Vec<f64> {
        (0..batch.members).map(|m| batch.dot(m, x, y)).collect()
    };
    let mut x = vec![0.0; b.len()];
    let mut r = b.to_vec();
    let mut p = r.clone();
    let mut rr = dots(&r, &r);
    for _ in 0..max_iterations {
        let moving = active(batch, &r, b, tolerance);
        if !moving.contains(&true) {
            break;
        }
        let ap = apply(&p)?;
        let alpha = ratio(&moving, &rr, &dots(&p, &ap));
        batch.add(&mut x, &alpha, &p);
        let minus: Vec<f64> = alpha.iter().map(|a| -a).collect();
        batch.add(&mut r, &minus, &ap);
        let next = dots(&r, &r);
        let beta = ratio(&moving, &next, &rr);
        let old = std::mem::replace(&mut p, r.clone());
        batch.add(&mut p, &beta, &old);
        rr = next;
    }
    Ok(x)
}

/// Van der Vorst, Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG, 1992.
fn stabilized(
    batch: &Batch,
    b: &[f64],
    max_iterations: usize,
    tolerance: f64,
    apply: impl Fn(&[f64]) -> Result<Vec<f64>, ExecError>,
) -> Result<Vec<f64>, ExecError> {
    let dots = |x: &[f64], y: &[f64]| -> Vec<f64> {
        (0..batch.members).map(|m| batch.dot(m, x, y)).collect()
    };
    let negative = |x: &[f64]| x.iter().map(|v| -v).collect::<Vec<f64>>();
    let mut x = vec![0.0; b.len()];
    let mut r = b.to_vec();
    let shadow = r.clone();
    let mut p = r.clone();
    let mut rho = dots(&shadow, &r);
    for _ in 0..max_iterations {
        let moving = active(batch, &r, b, tolerance);
        if !moving.contains(&true) {
            break;
        }
        let v = apply(&p)?;
        let alpha = ratio(&moving, &rho, &dots(&shadow, &v));
        batch.add(&mut x, &alpha, &p);
        batch.add(&mut r, &negative(&alpha), &v);
        let moving = active(batch, &r, b, tolerance);
        let t = apply(&r)?;
        let omega = ratio(&moving, &dots(&t, &r), &dots(&t, &t));
        batch.add(&mut x, &omega, &r);
        batch.add(&mut r, &negative(&omega), &t);
        let next = dots(&shadow, &r);
        let beta: Vec<f64> = ratio(&moving, &next, &rho)
            .iter()
            .zip(alpha.iter().zip(&omega))
            .map(
                |(&ratio, (&alpha, &omega))| if omega == 0.0 { 0.0 } else { ratio * alpha / omega },
            )
            .collect();
        let mut old = p;
        batch.add(&mut old, &negative(&omega), &v);
        p = r.clone();
        batch.add(&mut p, &beta, &old);
        rho = next;
    }
    Ok(x)
}

pub(super) unsafe fn fixed_point(
    fixed: &FixedPoint,
    plain: &Plain,
    inputs: &[Slot<'_>],
    out: &Slot<'_>,
    scratch: *mut u8,
    run_plan: RunPlan<'_>,
) -> Result<(), ExecError> {
    let batch = Batch::of(out, fixed.n_batch);
    let tolerance = f64::from_bits(fixed.tolerance_bits);
    // SAFETY: the last operand is the start; scratch as planned.
    unsafe {
        let mut x = read(&inputs[inputs.len() - 1]);
        let body = Body::new(plain, inputs, out, scratch, run_plan);
        let mut moving = vec![true; batch.members];
        for _ in 0..fixed.max_iterations {
            let next = body.apply(&x)?;
            let change: Vec<f64> = next.iter().zip(&x).map(|(a, b)| a - b).collect();
            for m in (0..batch.members).filter(|&m| moving[m]).collect::<Vec<_>>() {
                let range = m * batch.length..(m + 1) * batch.length;
                x[range.clone()].copy_from_slice(&next[range]);
                let size = batch.dot(m, &change, &change).sqrt();
                moving[m] = size > tolerance * batch.dot(m, &next, &next).sqrt();
            }
            if !moving.contains(&true) {
                break;
            }
        }
        write(out, &x);
    }
    Ok(())
}
