//! The comparison of batched with stacked results.

use thalweg_exec::{Executor, reference};
use thalweg_graph::{Array, Builder, DType, Graph, Tensor, TensorType};
use thalweg_transform::vmap_graph;

/// A function that is traced once for each case.
pub type Function = dyn for<'b> Fn(&'b Builder, &[Tensor<'b>]) -> Vec<Tensor<'b>>;

/// An input: its type, and the range of its elements.
#[derive(Clone)]
pub struct Input {
    ty: TensorType,
    low: f64,
    high: f64,
}

/// Numbers from -2 to 2.
pub fn floats(shape: &[usize]) -> Input {
    Input { ty: TensorType::new(DType::F32, shape), low: -2.0, high: 2.0 }
}

/// Integers of `low..high`.
pub fn integers(dtype: DType, shape: &[usize], low: i32, high: i32) -> Input {
    Input { ty: TensorType::new(dtype, shape), low: low.into(), high: high.into() }
}

/// Booleans.
pub fn booleans(shape: &[usize]) -> Input {
    integers(DType::Bool, shape, 0, 2)
}

impl Input {
    /// Elements that depend only on the seed.
    fn array(&self, seed: u64) -> Array {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let unit = (state >> 11) as f64 / (1u64 << 53) as f64;
            let x = self.low + (self.high - self.low) * unit;
            if self.ty.dtype.is_float() { x } else { x.floor() }
        };
        let elements: Vec<f64> = (0..self.ty.element_count() + 3).map(|_| next()).skip(3).collect();
        Array::from_slice(&self.ty.shape, &elements).unwrap().convert(self.ty.dtype)
    }
}

/// One application of `vmap`.
struct Level {
    size: usize,
    axes: Vec<Option<usize>>,
}

pub fn trace(inputs: &[Input], f: &Function) -> Graph {
    let b = Builder::new(DType::F32);
    let x: Vec<_> =
        inputs.iter().enumerate().map(|(i, x)| b.input(&format!("x{i}"), x.ty.clone())).collect();
    let outputs = f(&b, &x);
    let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
    b.finish(&names.iter().map(String::as_str).zip(outputs).collect::<Vec<_>>()).unwrap()
}

/// Every subset of batched inputs, at the first, a middle and the last axis, and every pair of
/// subsets nested.
pub fn check(name: &str, inputs: &[Input], f: &Function) {
    let graph = trace(inputs, f);
    let runner = Runner { name, graph: &graph, inputs, executor: Executor::new(2) };
    let subsets = 1..1u32 << inputs.len();
    for subset in subsets.clone() {
        for place in [0, 1, usize::MAX] {
            runner.check(&[level(inputs, subset, 3, place)]);
        }
        for outer in subsets.clone() {
            let inner = level(inputs, subset, 2, usize::MAX);
            runner.check(&[inner, level(inputs, outer, 3, 0)]);
        }
    }
}

fn level(inputs: &[Input], subset: u32, size: usize, place: usize) -> Level {
    let axis =
        |(i, input): (usize, &Input)| (subset >> i & 1 == 1).then_some(place.min(input.ty.rank()));
    Level { size, axes: inputs.iter().enumerate().map(axis).collect() }
}

struct Runner<'a> {
    name: &'a str,
    graph: &'a Graph,
    inputs: &'a [Input],
    executor: Executor,
}

impl Runner<'_> {
    fn check(&self, levels: &[Level]) {
        let mut batched = self.graph.clone();
        for level in levels {
            batched = vmap_graph(&batched, &level.axes, level.size).unwrap();
            batched.verify().unwrap();
        }
        let mut members = vec![vec![None; levels.len()]];
        for (i, level) in levels.iter().enumerate().rev() {
            members = members
                .into_iter()
                .flat_map(|member| {
                    (0..level.size).map(move |q| {
                        let mut member = member.clone();
                        member[i] = Some(q);
                        member
                    })
                })
                .collect();
        }
        let together: Vec<Array> = (0..self.inputs.len())
            .map(|i| self.gathered(i, levels, &vec![None; levels.len()]))
            .collect();
        let alone: Vec<Vec<Array>> = members
            .iter()
            .map(|member| {
                let own = |i: usize, input: &Input| input.array(seed(i, levels, member));
                self.inputs.iter().enumerate().map(|(i, input)| own(i, input)).collect()
            })
            .collect();
        let axes: Vec<_> = levels.iter().map(|level| &level.axes).collect();
        let sizes: Vec<usize> = levels.iter().rev().map(|level| level.size).collect();
        let oracle = |graph: &Graph, x: &[Array]| reference::evaluate(graph, x).unwrap();
        let executor = |graph: &Graph, x: &[Array]| {
            self.executor.compile(graph).unwrap().run(x.to_vec()).unwrap()
        };
        type Evaluate<'e> = &'e dyn Fn(&Graph, &[Array]) -> Vec<Array>;
        let evaluators: [(&str, Evaluate<'_>); 2] = [("oracle", &oracle), ("executor", &executor)];
        for (who, evaluate) in evaluators {
            let got = evaluate(&batched, &together);
            let each: Vec<Vec<Array>> = alone.iter().map(|x| evaluate(self.graph, x)).collect();
            for (output, got) in got.iter().enumerate() {
                let rows: Vec<Array> = each.iter().map(|results| results[output].clone()).collect();
                let shape = [&sizes, rows[0].shape()].concat();
                let expected = Array::stack(&rows).unwrap().reshape(&shape).unwrap();
                assert!(
                    same(got, &expected),
                    "{}, output {output}, axes {axes:?}, {who}:\n{got:?}\n{expected:?}\n{batched}",
                    self.name
                );
            }
        }
    }

    /// Input `i` with the axes of all levels, those of the outer levels fixed where `member` says.
    fn gathered(&self, i: usize, levels: &[Level], member: &[Option<usize>]) -> Array {
        let Some((outer, inner)) = levels.split_last() else {
            let all = vec![(); member.len()];
            let batched_at: Vec<Option<usize>> = all.iter().zip(member).map(|((), &q)| q).collect();
            return self.inputs[i].array(mix(i, &batched_at));
        };
        let Some(axis) = outer.axes[i] else { return self.gathered(i, inner, member) };
        let rows: Vec<Array> = (0..outer.size)
            .map(|q| {
                let mut member = member.to_vec();
                member[inner.len()] = Some(q);
                self.gathered(i, inner, &member)
            })
            .collect();
        moved(Array::stack(&rows).unwrap(), axis)
    }
}

/// The seed of a member's own input: it depends on the levels that batch that input.
fn seed(i: usize, levels: &[Level], member: &[Option<usize>]) -> u64 {
    let own: Vec<Option<usize>> =
        levels.iter().zip(member).map(|(level, &q)| level.axes[i].and(q)).collect();
    mix(i, &own)
}

fn mix(i: usize, member: &[Option<usize>]) -> u64 {
    let digits = member.iter().map(|q| q.map_or(0, |q| q as u64 + 1));
    digits.fold(i as u64 + 1, |seed, digit| seed * 31 + digit)
}

/// The leading axis moved to `axis`.
fn moved(array: Array, axis: usize) -> Array {
    let b = Builder::new(DType::F32);
    let x = b.input("x", TensorType::new(array.dtype(), array.shape()));
    let graph = b.finish(&[("y", x.move_axis(0, axis))]).unwrap();
    reference::evaluate(&graph, &[array]).unwrap().remove(0)
}

/// Equal bits, any two NaNs being equal.
fn same(a: &Array, b: &Array) -> bool {
    let nan_at = |x: &Array| x.to_f64_vec().iter().map(|x| x.is_nan()).collect::<Vec<_>>();
    let bits = |x: &Array| {
        let kept = |x: f64| if x.is_nan() { 0 } else { x.to_bits() };
        x.to_f64_vec().into_iter().map(kept).collect::<Vec<_>>()
    };
    let kind = |x: &Array| (x.dtype(), x.shape().to_vec());
    kind(a) == kind(b) && nan_at(a) == nan_at(b) && bits(a) == bits(b)
}
