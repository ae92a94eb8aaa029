//! Gauss quadrature of an operator's spectral measures, by Lanczos iteration from random signs.

use crate::common::{LinearOperator, even_chunks, signs, symmetric_eigen, vector};
use crate::error::stored;
use crate::{Context, MethodError, NamedArrays};
use thalweg_array::Array;

/// Nodes and weights; the weights sum to one.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Quadrature {
    pub(super) nodes: Vec<f64>,
    pub(super) weights: Vec<f64>,
}

impl Quadrature {
    /// `sum over nodes of weight f(node)`.
    pub(super) fn mean(&self, f: impl Fn(f64) -> f64) -> f64 {
        self.nodes.iter().zip(&self.weights).map(|(&node, weight)| weight * f(node)).sum()
    }
}

/// What [`quadratures`] is asked for.
pub(super) struct Asked<'a> {
    /// The name of the work, and of the stream that probes are drawn from.
    pub(super) what: &'a str,
    /// The name of its units.
    pub(super) key: &'a str,
    pub(super) probes: usize,
    /// Lanczos steps for each probe, at most as many as dimensions.
    pub(super) steps: usize,
    /// The quadrature of so many steps as well, to see what the last ones changed.
    pub(super) shorter: Option<usize>,
}

/// What each probe found.
pub(super) struct Quadratures {
    pub(super) whole: Vec<Quadrature>,
    /// Those of fewer steps, where they were asked for.
    pub(super) shorter: Vec<Quadrature>,
    pub(super) products: usize,
}

/// For each probe `z` of random signs, Lanczos steps (fully reorthogonalised) from `z / sqrt(n)`
/// give nodes `t_i` and weights `u_i1^2` of the Gauss quadrature of `z`'s spectral measure.
///
/// Probes go in lockstep, so that their products are taken together: as many as half the context's
/// memory holds bases of, and these are a unit of work.
///
/// # Errors
/// A basis of a probe that the memory does not hold; a product that is not finite; those of the
/// operator and of the store.
/// # Source    Golub and Meurant, Matrices, moments and quadrature, 1994
pub(super) fn quadratures(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    asked: &Asked<'_>,
) -> Result<Quadratures, MethodError> {
    let n = operator.dimension();
    let steps = asked.steps.min(n).max(1);
    let needed = basis(n, steps);
    if needed > ctx.memory() {
        let what = format!("a basis of {steps} vectors of {n} elements");
        return Err(MethodError::Memory { what, needed, budget: ctx.memory() });
    }
    let lengths: Vec<usize> = std::iter::once(steps)
        .chain(asked.shorter.map(|shorter| shorter.clamp(1, steps)))
        .collect();
    let stream = ctx.stream(asked.what);
    ctx.progress().start(asked.what, (asked.probes * steps) as u64);
    let mut found = Quadratures { whole: Vec::new(), shorter: Vec::new(), products: 0 };
    let probes: Vec<usize> = (0..asked.probes).collect();
    for block in even_chunks(&probes, lockstep(ctx, n, steps)) {
        let key = format!("{}/{}-{}", asked.key, block[0], block[0] + block.len());
        let arrays = ctx.unit(&key, || {
            let probes = block.iter().map(|&p| signs(&stream.at(p as u64), n)).collect();
            let (found, products) = quadrature(ctx, operator, probes, steps, &lengths)?;
            let mut arrays: NamedArrays = Vec::new();
            for (i, found) in found.into_iter().enumerate() {
                let nodes: Vec<f64> = found.iter().flat_map(|q| q.nodes.clone()).collect();
                let weights: Vec<f64> = found.iter().flat_map(|q| q.weights.clone()).collect();
                arrays.push((name("nodes", i), Array::vector(&nodes)));
                arrays.push((name("weights", i), Array::vector(&weights)));
            }
            arrays.push(("products".into(), Array::vector(&[products as f64])));
            Ok(arrays)
        })?;
        for (i, (&length, into)) in
            lengths.iter().zip([&mut found.whole, &mut found.shorter]).enumerate()
        {
            let nodes = stored(&key, &arrays, &name("nodes", i), block.len() * length)?;
            let weights = stored(&key, &arrays, &name("weights", i), block.len() * length)?;
            into.extend(nodes.chunks(length).zip(weights.chunks(length)).map(
                |(nodes, weights)| Quadrature { nodes: nodes.to_vec(), weights: weights.to_vec() },
            ));
        }
        found.products += stored(&key, &arrays, "products", 1)?[0] as usize;
        ctx.progress().advance((block.len() * steps) as u64);
    }
    Ok(found)
}

fn name(what: &str, index: usize) -> String {
    if index == 0 { what.to_owned() } else { format!("{what}{index}") }
}

/// Bytes of a basis of `steps` vectors.
fn basis(n: usize, steps: usize) -> usize {
    n.saturating_mul(steps).saturating_mul(size_of::<f64>())
}

/// Probes whose bases of `steps` vectors fit into half the memory, but at least one.
fn lockstep(ctx: &Context<'_>, n: usize, steps: usize) -> usize {
    (ctx.memory() / 2 / basis(n, steps).max(1)).max(1)
}

/// For each length the quadratures of all probes, and the products taken; probes whose subspace is
/// invariant early are filled up with weights of zero.
fn quadrature(
    ctx: &Context<'_>,
    operator: &dyn LinearOperator,
    probes: Vec<Vec<f64>>,
    steps: usize,
    lengths: &[usize],
) -> Result<(Vec<Vec<Quadrature>>, usize), MethodError> {
    struct Run {
        basis: Vec<Vec<f64>>,
        rows: Vec<Vec<f64>>,
        done: bool,
    }
    let mut runs: Vec<Run> = probes
        .into_iter()
        .map(|mut z| {
            let length = vector::norm(&z);
            vector::scale(&mut z, 1.0 / length);
            Run { basis: vec![z], rows: Vec::new(), done: false }
        })
        .collect();
    let mut products = 0;
    for _ in 0..steps {
        ctx.check()?;
        let open: Vec<usize> = (0..runs.len()).filter(|&i| !runs[i].done).collect();
        let vectors: Vec<Vec<f64>> =
            open.iter().map(|&i| runs[i].basis[runs[i].basis.len() - 1].clone()).collect();
        products += open.len();
        for (&i, mut product) in open.iter().zip(operator.apply(&vectors)?) {
            let run = &mut runs[i];
            if let Some(value) = product.iter().find(|x| !x.is_finite()) {
                let what = format!("an element of the product with the {}", operator.name());
                return Err(MethodError::NotFinite { what, value: value.to_string() });
            }
            let mut components = vec![0.0; run.basis.len()];
            vector::orthogonalize(&mut product, &run.basis, &mut components);
            run.rows.push(components);
            let scale = run.rows.iter().flatten().fold(0.0f64, |m, c| m.max(c.abs()));
            let length = vector::norm(&product);
            run.done = run.rows.len() == steps || length <= 64.0 * f64::EPSILON * scale;
            if !run.done {
                vector::scale(&mut product, 1.0 / length);
                run.basis.push(product);
            }
        }
    }
    let of_length = |&length: &usize| runs.iter().map(|run| gauss(&run.rows, length)).collect();
    Ok((lengths.iter().map(of_length).collect(), products))
}

/// The quadrature of the first `length` steps.
fn gauss(rows: &[Vec<f64>], length: usize) -> Quadrature {
    let size = rows.len().min(length);
    let square: Vec<Vec<f64>> = rows[..size]
        .iter()
        .map(|row| {
            let mut row = row.clone();
            row.resize(size, 0.0);
            row
        })
        .collect();
    let eigen = symmetric_eigen(&square);
    let mut nodes = eigen.values;
    let mut weights: Vec<f64> = eigen.vectors.iter().map(|y| y[0] * y[0]).collect();
    let last = nodes.last().copied().unwrap_or(0.0);
    nodes.resize(length, last);
    weights.resize(length, 0.0);
    Quadrature { nodes, weights }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_exec::Executor;

    #[test]
    fn half_the_memory_holds_bases() {
        let executor = Executor::new(1);
        // A basis is of 40 x 12 x 8 bytes.
        let ctx = Context::new(&executor, 0).with_memory(4 * 40 * 12 * 8);
        assert_eq!(lockstep(&ctx, 40, 12), 2);
        assert_eq!(lockstep(&ctx.with_memory(1), 40, 12), 1);
    }

    #[test]
    fn fewer_steps_are_a_leading_block() {
        // From (1, 1) / sqrt(2), of diag(1, 3): one step has its mean, two have both.
        let rows = [vec![2.0], vec![1.0, 2.0]];
        assert_eq!(gauss(&rows, 1), Quadrature { nodes: vec![2.0], weights: vec![1.0] });
        let whole = gauss(&rows, 2);
        assert!((whole.mean(|x| x * x) - 5.0).abs() < 1e-14);
    }
}
