//! The closed set of operations.
//!
//! Names and semantics follow StableHLO where it has the operation. The enum has no catch-all:
//! every interpreter matches every variant, so adding one makes the compiler list each missing
//! rule (shape, jvp, transpose, vmap, reference, CPU).

mod control;
mod window;

pub use control::{FixedPoint, LinearSolve, Scan, Solver, While};
pub use window::{ConvolutionWindow, DotAxes, GatherAxes, Window, window_extent};

use std::sync::Arc;
use thalweg_array::{Array, DType};

/// One operation; its operands stand beside it in [`crate::Node`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A named input of the graph.
    Input {
        /// Position among the inputs.
        index: u32,
    },
    /// A literal.
    Constant(Arc<Array>),
    /// `0, 1, 2, ...` along one axis.
    Iota {
        /// Element type of the result.
        dtype: DType,
        /// Shape of the result.
        shape: Vec<usize>,
        /// The axis that counts.
        axis: usize,
    },
    /// An element-wise function of one operand.
    Unary(Unary),
    /// An element-wise function of two operands of one type.
    Binary(Binary),
    /// An element-wise comparison; gives booleans.
    Compare(Comparison),
    /// `select(condition, on_true, on_false)`, element by element.
    Select,
    /// Conversion of every element, as Rust's `as`; to `bool`: is it non-zero.
    Convert(DType),
    /// The same bits as another type of the same size.
    Bitcast(DType),
    /// First word of Threefry-2x32-20 of `(key_0, key_1, counter_0, counter_1)`, element by element.
    Threefry,
    /// Identity whose derivative is zero.
    StopGradient,
    /// Operand axis `i` becomes result axis `axes[i]`; an extent of one stretches.
    Broadcast {
        /// Shape of the result.
        shape: Vec<usize>,
        /// Result axis of each operand axis, increasing.
        axes: Vec<usize>,
    },
    /// The same elements in row-major order under another shape.
    Reshape {
        /// Shape of the result.
        shape: Vec<usize>,
    },
    /// Result axis `i` is operand axis `permutation[i]`.
    Transpose {
        /// Operand axis of each result axis.
        permutation: Vec<usize>,
    },
    /// Elements `start, start + stride, ... < limit` along each axis.
    Slice {
        /// First index along each axis.
        start: Vec<usize>,
        /// One past the last index along each axis.
        limit: Vec<usize>,
        /// Step along each axis, at least one.
        stride: Vec<usize>,
    },
    /// `pad(operand, fill)`: `fill` before, after and between elements.
    Pad {
        /// Elements added before each axis.
        low: Vec<usize>,
        /// Elements added after each axis.
        high: Vec<usize>,
        /// Elements added between neighbours along each axis.
        interior: Vec<usize>,
    },
    /// Operands end to end along an axis.
    Concatenate {
        /// The axis that grows.
        axis: usize,
    },
    /// The order of elements turned round along axes.
    Reverse {
        /// The axes.
        axes: Vec<usize>,
    },
    /// `dynamic_slice(operand, start_0, ...)`: starts are clamped so that the slice fits.
    DynamicSlice {
        /// Extents of the result.
        sizes: Vec<usize>,
    },
    /// `dynamic_update_slice(operand, update, start_0, ...)`, starts clamped likewise.
    DynamicUpdateSlice,
    /// `gather(operand [B.., N, S.., T..], indices [B.., I.., T..]) -> [B.., I.., S.., T..]`.
    ///
    /// `batch` leading and `trailing` last axes are matched between the operands; the index picks
    /// along axis `N`. An index outside `0..N` reads zero.
    Gather(GatherAxes),
    /// `scatter_add(operand [B.., N, S.., T..], indices [B.., I.., T..], updates [B.., I.., S.., T..])`:
    /// the transpose of gather. An index outside `0..N` is dropped; booleans are added by `or`.
    ScatterAdd(GatherAxes),
    /// A reduction over axes, which are removed.
    Reduce {
        /// What is computed.
        kind: Reduction,
        /// The axes that go, increasing.
        axes: Vec<usize>,
    },
    /// The sum over each window; padding counts as zero.
    WindowSum(Window),
    /// The row-major position, within the padded-out operand's own elements, of the first largest
    /// element of each window (`i32`): an index into the flattened windowed axes. NaN counts as
    /// larger than any number, so the element found is the largest as [`Reduction::Max`] has it.
    WindowArgMax(Window),
    /// Index (`i32`) of the first largest element along an axis, which is removed. NaN counts as
    /// larger than any number.
    ArgMax {
        /// The axis.
        axis: usize,
    },
    /// Sorts along an axis by the first operand, stably; the others follow. NaN comes last.
    Sort {
        /// The axis.
        axis: usize,
        /// Largest first (NaN still last).
        descending: bool,
    },
    /// Running sum along an axis, the element itself included.
    CumulativeSum {
        /// The axis.
        axis: usize,
        /// Run from the end.
        reverse: bool,
    },
    /// The general matrix product: result axes are batch, then free of the left, then free of the
    /// right operand.
    Dot(DotAxes),
    /// `convolution(x, w)`: see [`ConvolutionWindow`].
    Convolution(ConvolutionWindow),
    /// `convolution_input_gradient(dy, w) -> dx`: the transpose of [`Op::Convolution`] in `x`.
    ConvolutionInputGradient {
        /// The convolution that is transposed.
        window: ConvolutionWindow,
        /// Height and width of `x`.
        input: [usize; 2],
    },
    /// `convolution_weight_gradient(x, dy) -> dw`: the transpose of [`Op::Convolution`] in `w`.
    ConvolutionWeightGradient {
        /// The convolution that is transposed; its population flags mean `x` and `dy` here.
        window: ConvolutionWindow,
        /// Height and width of the kernel.
        kernel: [usize; 2],
    },
    /// Lower Cholesky factor of each matrix in the last two axes, zero above the diagonal. Only
    /// the lower triangle is read. From the first pivot on that is not positive, the factor is
    /// NaN: one bad member of a batch must not stop the others.
    Cholesky,
    /// `triangular_solve(a, b)`: `x` with `a x = b` (or `a^T x = b`) over the last two axes.
    TriangularSolve {
        /// Whether `a` is lower triangular; the other triangle is not read.
        lower: bool,
        /// Solve with the transpose of `a`.
        transpose: bool,
    },
    /// Eigenvalues, increasing, and eigenvectors (columns) of each symmetric matrix in the last
    /// two axes. Only the lower triangle is read; one that is not finite gives NaN.
    ///
    /// The sign of an eigenvector is such that the first component at least half as large as its
    /// largest one is positive. (The largest component itself would not do: in `(1, -1)` rounding
    /// decides which one that is.)
    SymmetricEigen,
    /// `linear_solve(constants.., b) -> x` with `matvec(constants.., x) = b`.
    LinearSolve(Arc<LinearSolve>),
    /// `fixed_point(constants.., x0) -> x` with `body(constants.., x) = x`.
    FixedPoint(Arc<FixedPoint>),
    /// A loop with a static trip count.
    Scan(Arc<Scan>),
    /// A loop that runs while a condition holds; forward only.
    While(Arc<While>),
}

/// Element-wise functions of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Unary {
    Negate,
    Abs,
    /// -1, 0 or 1; NaN for NaN.
    Sign,
    Exp,
    /// `exp(x) - 1` without cancellation.
    Expm1,
    Log,
    /// `log(1 + x)` without cancellation.
    Log1p,
    Sqrt,
    /// `1 / sqrt(x)`.
    Rsqrt,
    Sin,
    Cos,
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Logistic,
    Erf,
    Floor,
    Ceil,
    /// To the nearest integer, ties to even.
    Round,
    /// Logical or bit-wise not.
    Not,
    /// Neither infinite nor NaN; gives booleans.
    IsFinite,
}

impl Unary {
    /// Every function.
    pub const ALL: [Unary; 19] = [
        Unary::Negate,
        Unary::Abs,
        Unary::Sign,
        Unary::Exp,
        Unary::Expm1,
        Unary::Log,
        Unary::Log1p,
        Unary::Sqrt,
        Unary::Rsqrt,
        Unary::Sin,
        Unary::Cos,
        Unary::Tanh,
        Unary::Logistic,
        Unary::Erf,
        Unary::Floor,
        Unary::Ceil,
        Unary::Round,
        Unary::Not,
        Unary::IsFinite,
    ];
}

/// Element-wise functions of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Subtract,
    Multiply,
    /// Integers: truncated; by zero gives zero.
    Divide,
    /// Sign of the dividend, as Rust's `%`; integers by zero give zero.
    Remainder,
    /// Floats only.
    Power,
    /// NaN if either is.
    Maximum,
    /// NaN if either is.
    Minimum,
    And,
    Or,
    Xor,
    /// Zero when shifted by the width or more.
    ShiftLeft,
    /// Fills with zeros.
    ShiftRightLogical,
}

impl Binary {
    /// Every function.
    pub const ALL: [Binary; 13] = [
        Binary::Add,
        Binary::Subtract,
        Binary::Multiply,
        Binary::Divide,
        Binary::Remainder,
        Binary::Power,
        Binary::Maximum,
        Binary::Minimum,
        Binary::And,
        Binary::Or,
        Binary::Xor,
        Binary::ShiftLeft,
        Binary::ShiftRightLogical,
    ];
}

/// Element-wise comparisons; every one but `NotEqual` is false where an operand is NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl Comparison {
    /// Every comparison.
    pub const ALL: [Comparison; 6] = [
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessEqual,
        Comparison::Greater,
        Comparison::GreaterEqual,
    ];
}

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Zero over nothing.
    Sum,
    /// Minus infinity (or the least integer) over nothing; NaN if any element is.
    Max,
    /// Plus infinity (or the largest integer) over nothing; NaN if any element is.
    Min,
    /// Booleans: `true` over nothing.
    All,
    /// Booleans: `false` over nothing.
    Any,
}

impl Op {
    /// The operation's name as the printer and the errors write it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Input { .. } => "input",
            Op::Constant(_) => "constant",
            Op::Iota { .. } => "iota",
            Op::Unary(unary) => match unary {
                Unary::Negate => "negate",
                Unary::Abs => "abs",
                Unary::Sign => "sign",
                Unary::Exp => "exp",
                Unary::Expm1 => "expm1",
                Unary::Log => "log",
                Unary::Log1p => "log1p",
                Unary::Sqrt => "sqrt",
                Unary::Rsqrt => "rsqrt",
                Unary::Sin => "sin",
                Unary::Cos => "cos",
                Unary::Tanh => "tanh",
                Unary::Logistic => "logistic",
                Unary::Erf => "erf",
                Unary::Floor => "floor",
                Unary::Ceil => "ceil",
                Unary::Round => "round",
                Unary::Not => "not",
                Unary::IsFinite => "is_finite",
            },
            Op::Binary(binary) => match binary {
                Binary::Add => "add",
                Binary::Subtract => "subtract",
                Binary::Multiply => "multiply",
                Binary::Divide => "divide",
                Binary::Remainder => "remainder",
                Binary::Power => "power",
                Binary::Maximum => "maximum",
                Binary::Minimum => "minimum",
                Binary::And => "and",
                Binary::Or => "or",
                Binary::Xor => "xor",
                Binary::ShiftLeft => "shift_left",
                Binary::ShiftRightLogical => "shift_right_logical",
            },
            Op::Compare(comparison) => match comparison {
                Comparison::Equal => "equal",
                Comparison::NotEqual => "not_equal",
                Comparison::Less => "less",
                Comparison::LessEqual => "less_equal",
                Comparison::Greater => "greater",
                Comparison::GreaterEqual => "greater_equal",
            },
            Op::Select => "select",
            Op::Convert(_) => "convert",
            Op::Bitcast(_) => "bitcast",
            Op::Threefry => "threefry",
            Op::StopGradient => "stop_gradient",
            Op::Broadcast { .. } => "broadcast",
            Op::Reshape { .. } => "reshape",
            Op::Transpose { .. } => "transpose",
            Op::Slice { .. } => "slice",
            Op::Pad { .. } => "pad",
            Op::Concatenate { .. } => "concatenate",
            Op::Reverse { .. } => "reverse",
            Op::DynamicSlice { .. } => "dynamic_slice",
            Op::DynamicUpdateSlice => "dynamic_update_slice",
            Op::Gather(_) => "gather",
            Op::ScatterAdd(_) => "scatter_add",
            Op::Reduce { kind, .. } => match kind {
                Reduction::Sum => "reduce_sum",
                Reduction::Max => "reduce_max",
                Reduction::Min => "reduce_min",
                Reduction::All => "reduce_all",
                Reduction::Any => "reduce_any",
            },
            Op::WindowSum(_) => "window_sum",
            Op::WindowArgMax(_) => "window_arg_max",
            Op::ArgMax { .. } => "arg_max",
            Op::Sort { .. } => "sort",
            Op::CumulativeSum { .. } => "cumulative_sum",
            Op::Dot(_) => "dot",
            Op::Convolution(_) => "convolution",
            Op::ConvolutionInputGradient { .. } => "convolution_input_gradient",
            Op::ConvolutionWeightGradient { .. } => "convolution_weight_gradient",
            Op::Cholesky => "cholesky",
            Op::TriangularSolve { .. } => "triangular_solve",
            Op::SymmetricEigen => "symmetric_eigen",
            Op::LinearSolve(_) => "linear_solve",
            Op::FixedPoint(_) => "fixed_point",
            Op::Scan(_) => "scan",
            Op::While(_) => "while",
        }
    }

    /// Whether each element of the result depends only on the same element of each operand.
    pub fn is_elementwise(&self) -> bool {
        matches!(
            self,
            Op::Unary(_)
                | Op::Binary(_)
                | Op::Compare(_)
                | Op::Select
                | Op::Convert(_)
                | Op::Bitcast(_)
                | Op::Threefry
                | Op::StopGradient
        )
    }
}
