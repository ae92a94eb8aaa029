//! What a model says about each of its parameters and buffers.

use crate::initialize::Initializer;

/// What a parameter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A matrix or kernel that mixes inputs.
    Weight,
    /// Added to each output.
    Bias,
    /// Factor after a normalisation.
    NormScale,
    /// Summand after a normalisation.
    NormShift,
    /// Rows looked up by index.
    Embedding,
}

impl Role {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Role::Weight => "weight",
            Role::Bias => "bias",
            Role::NormScale => "norm-scale",
            Role::NormShift => "norm-shift",
            Role::Embedding => "embedding",
        }
    }
}

/// What an axis of a parameter runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// Units or channels that are summed over.
    Input,
    /// Units, channels or filters that are produced.
    Output,
    /// Height or width of a kernel.
    Spatial,
    /// Anything else.
    Other,
}

impl Axis {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Axis::Input => "input",
            Axis::Output => "output",
            Axis::Spatial => "spatial",
            Axis::Other => "other",
        }
    }
}

/// Factors for width scaling rules such as muP; all one by default.
///
/// # Source    Yang et al., Tensor Programs V, 2022, arXiv 2203.03466, table 8
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multipliers {
    /// Of the drawn initial value.
    pub init: f64,
    /// Of the learning rate.
    pub learning_rate: f64,
    /// Of the weight decay.
    pub decay: f64,
    /// Of the value where the traced function uses it.
    pub forward: f64,
}

impl Default for Multipliers {
    fn default() -> Multipliers {
        Multipliers { init: 1.0, learning_rate: 1.0, decay: 1.0, forward: 1.0 }
    }
}

/// How PyTorch lays the same numbers out.
///
/// The engine's array is seen as `split`, its axes are permuted (result axis `i` is axis
/// `permutation[i]`), and the result is seen as `shape`. `split` differs from the engine's shape
/// only where a dense layer follows a flattened image: the engine flattens height, width, channel
/// and PyTorch channel, height, width.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TorchLayout {
    /// The engine's extents, merged axes apart.
    pub split: Vec<usize>,
    /// Axis of `split` of each axis of PyTorch's array, merged axes apart.
    pub permutation: Vec<usize>,
    /// PyTorch's extents.
    pub shape: Vec<usize>,
}

impl TorchLayout {
    /// The same layout in both.
    pub fn same(shape: &[usize]) -> TorchLayout {
        TorchLayout::permuted(shape, &(0..shape.len()).collect::<Vec<_>>())
    }

    /// PyTorch's axis `i` is the engine's axis `permutation[i]`.
    pub fn permuted(shape: &[usize], permutation: &[usize]) -> TorchLayout {
        TorchLayout {
            split: shape.to_vec(),
            permutation: permutation.to_vec(),
            shape: permutation.iter().map(|&axis| shape[axis]).collect(),
        }
    }
}

/// One trainable array of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// PyTorch's name, as `layer1.0.conv1.weight`.
    pub name: String,
    /// Extents in the engine's layout: kernels `[height, width, in / groups, out]`, matrices
    /// `[in, out]`.
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    /// What each axis runs over.
    pub axes: Vec<Axis>,
    /// How its initial value is drawn.
    pub initializer: Initializer,
    /// Its factors.
    pub multipliers: Multipliers,
    /// How PyTorch lays it out.
    pub torch: TorchLayout,
}

impl Parameter {
    /// A parameter that PyTorch lays out alike, with multipliers of one.
    pub fn new(
        name: &str,
        shape: &[usize],
        role: Role,
        axes: &[Axis],
        initializer: Initializer,
    ) -> Parameter {
        Parameter {
            name: name.to_owned(),
            shape: shape.to_vec(),
            role,
            axes: axes.to_vec(),
            initializer,
            multipliers: Multipliers::default(),
            torch: TorchLayout::same(shape),
        }
    }

    /// The same parameter in another layout of PyTorch's.
    pub fn torch(mut self, torch: TorchLayout) -> Parameter {
        self.torch = torch;
        self
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.shape.iter().product()
    }

    /// The axis that tells filters (output units) apart, if there is one.
    pub fn filter_axis(&self) -> Option<usize> {
        self.axes.iter().position(|&axis| axis == Axis::Output)
    }

    /// What each axis of PyTorch's array runs over.
    pub fn torch_axes(&self) -> Vec<Axis> {
        // Each axis of `split` is one of the engine's, or a part of one.
        let mut of_split = Vec::with_capacity(self.torch.split.len());
        let mut extents = self.torch.split.iter().peekable();
        let mut left = self.shape.len();
        for (&whole, &axis) in self.shape.iter().zip(&self.axes) {
            let mut part = 1;
            left -= 1;
            while let Some(&extent) = extents.next() {
                part *= extent;
                of_split.push(axis);
                // A one at the border belongs here if those to come have axes enough.
                let more = extents.peek() == Some(&&1) && extents.len() > left;
                if part >= whole && !more {
                    break;
                }
            }
        }
        let of = |at: &usize| of_split.get(*at).copied().unwrap_or(Axis::Other);
        let mut permuted = self.torch.permutation.iter();
        let merge = |&whole: &usize| {
            let first = permuted.next()?;
            let mut part = self.torch.split.get(*first).copied().unwrap_or(1);
            while part < whole {
                part *= self.torch.split.get(*permuted.next()?).copied().unwrap_or(1).max(1);
            }
            Some(of(first))
        };
        self.torch.shape.iter().map_while(merge).collect()
    }

    /// Inputs of one output unit: the product of input and spatial extents.
    pub fn fan_in(&self) -> usize {
        self.fan(Axis::Input)
    }

    /// Outputs that one input unit reaches: the product of output and spatial extents (PyTorch's
    /// definition, which for grouped kernels counts all groups).
    pub fn fan_out(&self) -> usize {
        self.fan(Axis::Output)
    }

    fn fan(&self, kind: Axis) -> usize {
        self.shape
            .iter()
            .zip(&self.axes)
            .filter(|&(_, &axis)| axis == kind || axis == Axis::Spatial)
            .map(|(&extent, _)| extent)
            .product()
    }
}

/// What a buffer collects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Statistic {
    /// Running mean of each channel; starts at zero.
    Mean,
    /// Running unbiased variance of each channel; starts at one.
    Variance,
}

/// One array that a model updates but does not train.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// PyTorch's name, as `bn1.running_mean`.
    pub name: String,
    /// Extents.
    pub shape: Vec<usize>,
    /// What it collects.
    pub statistic: Statistic,
}

impl Buffer {
    /// The value of every element before training.
    pub fn initial(&self) -> f64 {
        match self.statistic {
            Statistic::Mean => 0.0,
            Statistic::Variance => 1.0,
        }
    }
}
