//! A graph as a short list of numbers: what is drawn, what is cut smaller, what is printed.

use crate::grow::{Grower, step};
use crate::numbers::Numbers;
use thalweg_array::{Array, DType};
use thalweg_graph::{Builder, Graph, Tensor, TensorType};
use thalweg_transform::gradient;

/// How a random graph is made. Any list of numbers makes a graph, and values are picked counting
/// from the newest, so that leaving out a step leaves most of the others what they were.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Float type of the builder.
    pub float: DType,
    /// Small integers in every type, every operation that is exact on them; otherwise numbers in
    /// -1..1 and smooth operations.
    pub exact: bool,
    /// With the gradient of the first smooth output.
    pub differentiated: bool,
    pub inputs: Vec<u64>,
    pub steps: Vec<u64>,
    pub outputs: Vec<u64>,
}

/// Extents that are empty, one, prime, a vector's width and one more.
const EXTENTS: [usize; 12] = [1, 2, 3, 5, 7, 1, 2, 3, 16, 17, 0, 13];
/// Shapes that need several tiles, several tasks, several blocks of a sum.
const LARGE: [&[usize]; 6] =
    [&[1031], &[2, 1500], &[1500, 3], &[40, 7, 11], &[130, 131], &[5, 4099]];

pub fn input_type(seed: u64, float: DType, exact: bool) -> TensorType {
    let mut numbers = Numbers::new(seed);
    let dtype = match numbers.below(10) {
        0 if exact => numbers.pick(&DType::ALL),
        1 => numbers.pick(&[DType::I32, DType::Bool, DType::U32, DType::I64]),
        _ => float,
    };
    if numbers.once_in(12) {
        return TensorType::new(dtype, numbers.pick(&LARGE));
    }
    let shape: Vec<usize> = (0..numbers.below(5)).map(|_| numbers.pick(&EXTENTS)).collect();
    let shape = if shape.iter().product::<usize>() > 700 { &shape[..2] } else { &shape[..] };
    TensorType::new(dtype, shape)
}

impl Recipe {
    pub fn new(seed: u64) -> Recipe {
        let mut numbers = Numbers::new(seed);
        let exact = !numbers.once_in(3);
        let words = |numbers: &mut Numbers, n: usize| (0..n).map(|_| numbers.word()).collect();
        let n_steps = numbers.between(1, 14);
        let (n_inputs, n_outputs) = (numbers.between(1, 4), numbers.between(1, 4));
        Recipe {
            float: numbers.pick(&[DType::F64, DType::F32]),
            exact,
            differentiated: !exact && numbers.once_in(2),
            inputs: words(&mut numbers, n_inputs),
            steps: words(&mut numbers, n_steps),
            outputs: words(&mut numbers, n_outputs),
        }
    }

    pub fn graph(&self) -> Graph {
        let b = Builder::new(self.float);
        let inputs: Vec<Tensor<'_>> = (self.inputs.iter().enumerate())
            .map(|(i, &seed)| b.input(&format!("x{i}"), input_type(seed, self.float, self.exact)))
            .collect();
        let mut grower = Grower { b: &b, values: inputs.clone(), exact: self.exact, depth: 0 };
        for &seed in &self.steps {
            step(&mut grower, &mut Numbers::new(seed));
        }
        let values = &grower.values;
        let mut outputs: Vec<Tensor<'_>> = Vec::new();
        for &seed in &self.outputs {
            let mut numbers = Numbers::new(seed);
            // The newest value as a rule; an input or an output once more now and then.
            let picked = match numbers.below(8) {
                0 => numbers.pick(&inputs),
                1 if !outputs.is_empty() => numbers.pick(&outputs),
                2 | 3 => values[values.len() - 1 - numbers.below(values.len())],
                _ => values[values.len() - 1 - numbers.below(values.len().min(3))],
            };
            outputs.push(picked);
        }
        if self.differentiated {
            let wrt: Vec<_> = inputs.iter().copied().filter(|x| x.dtype().is_float()).collect();
            if let Some(&y) = values.iter().rev().find(|y| y.dtype() == self.float) {
                outputs.extend(gradient(y.square().sum_all(), &wrt));
            }
        }
        let names: Vec<String> = (0..outputs.len()).map(|i| format!("y{i}")).collect();
        let named: Vec<_> = names.iter().map(String::as_str).zip(outputs).collect();
        match b.finish(&named) {
            Ok(graph) => graph,
            Err(error) => panic!("the generator built a wrong graph: {error}\n{self:?}"),
        }
    }

    /// The graph to read; without its gradient, which follows from it.
    pub fn text(&self) -> String {
        Recipe { differentiated: false, ..self.clone() }.graph().to_string()
    }

    /// Operands of a graph; another member's for each number.
    pub fn operands(&self, graph: &Graph, member: u64) -> Vec<Array> {
        let seeds = self.inputs.iter().copied();
        graph
            .inputs()
            .zip(seeds)
            .map(|(port, seed)| {
                let seed = seed.wrapping_add(0x1000 + member);
                Numbers::new(seed).array(port.ty.dtype, &port.ty.shape, self.exact)
            })
            .collect()
    }

    /// A smaller recipe that still fails, and how it fails.
    pub fn shrink(self, fails: &dyn Fn(&Recipe) -> Option<String>) -> (Recipe, String) {
        let mut story = fails(&self).unwrap_or_else(|| "it does not fail again".into());
        let mut best = self;
        let mut smaller = true;
        while smaller {
            smaller = false;
            for candidate in best.cuts() {
                if let Some(found) = fails(&candidate) {
                    (best, story, smaller) = (candidate, found, true);
                    break;
                }
            }
        }
        (best, story)
    }

    fn cuts(&self) -> Vec<Recipe> {
        let mut cuts = Vec::new();
        for i in (0..self.outputs.len()).filter(|_| self.outputs.len() > 1) {
            let mut cut = self.clone();
            cut.outputs.remove(i);
            cuts.push(cut);
        }
        for i in (0..self.steps.len()).rev() {
            let mut cut = self.clone();
            cut.steps.remove(i);
            cuts.push(cut);
        }
        for i in (0..self.inputs.len()).filter(|_| self.inputs.len() > 1) {
            let mut cut = self.clone();
            cut.inputs.remove(i);
            cuts.push(cut);
        }
        if self.differentiated {
            cuts.push(Recipe { differentiated: false, ..self.clone() });
        }
        cuts
    }
}
