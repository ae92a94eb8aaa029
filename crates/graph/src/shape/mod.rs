//! Shape rules: from an operation and the types of its operands to the types of its results.

mod contraction;
mod control;
mod structural;

use crate::error::{Mismatch, ensure};
use crate::graph::TensorType;
use crate::op::{Binary, Op, Reduction, Unary};
use thalweg_array::{DType, element_count};

type Inferred = Result<Vec<TensorType>, Mismatch>;

/// The types of the results, or what does not fit.
pub fn infer(op: &Op, inputs: &[&TensorType]) -> Inferred {
    let types = match op {
        Op::Input { .. } => Err(Mismatch::new("an input made by the builder", "a bare input")),
        Op::Constant(array) => {
            arity(inputs, 0)?;
            one(array.dtype(), array.shape())
        }
        Op::Iota { dtype, shape, axis } => {
            arity(inputs, 0)?;
            ensure!(*dtype != DType::Bool, "a number type", "bool");
            axis_within(*axis, shape)?;
            one(*dtype, shape.as_slice())
        }
        Op::Unary(unary) => unary_type(*unary, inputs),
        Op::Binary(binary) => binary_type(*binary, inputs),
        Op::Compare(_) => {
            arity(inputs, 2)?;
            same_type(inputs[0], inputs[1])?;
            one(DType::Bool, inputs[0].shape.as_slice())
        }
        Op::Select => {
            arity(inputs, 3)?;
            ensure!(inputs[0].dtype == DType::Bool, "a boolean condition", inputs[0].to_string());
            same_shape(inputs[0], inputs[1])?;
            same_type(inputs[1], inputs[2])?;
            Ok(vec![inputs[1].clone()])
        }
        Op::Convert(dtype) => {
            arity(inputs, 1)?;
            one(*dtype, inputs[0].shape.as_slice())
        }
        Op::Bitcast(dtype) => {
            arity(inputs, 1)?;
            let from = inputs[0].dtype;
            ensure!(
                from.size() == dtype.size() && (from == DType::Bool) == (*dtype == DType::Bool),
                format!("an operand as wide as {dtype}"),
                inputs[0].to_string(),
            );
            one(*dtype, inputs[0].shape.as_slice())
        }
        Op::Threefry => {
            arity(inputs, 4)?;
            for input in inputs {
                ensure!(input.dtype == DType::U32, "u32 words", input.to_string());
                same_shape(inputs[0], input)?;
            }
            Ok(vec![inputs[0].clone()])
        }
        Op::StopGradient => {
            arity(inputs, 1)?;
            Ok(vec![inputs[0].clone()])
        }
        Op::Broadcast { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concatenate { .. }
        | Op::Reverse { .. }
        | Op::DynamicSlice { .. }
        | Op::DynamicUpdateSlice
        | Op::Gather(_)
        | Op::ScatterAdd(_) => structural::infer(op, inputs),
        Op::Reduce { kind, axes } => {
            arity(inputs, 1)?;
            increasing_axes(axes, inputs[0])?;
            let boolean = matches!(kind, Reduction::All | Reduction::Any);
            ensure!(
                boolean == (inputs[0].dtype == DType::Bool),
                if boolean { "booleans" } else { "numbers" },
                inputs[0].to_string(),
            );
            one(inputs[0].dtype, without(&inputs[0].shape, axes))
        }
        Op::WindowSum(_)
        | Op::WindowArgMax(_)
        | Op::Dot(_)
        | Op::Convolution(_)
        | Op::ConvolutionInputGradient { .. }
        | Op::ConvolutionWeightGradient { .. }
        | Op::Cholesky
        | Op::TriangularSolve { .. }
        | Op::SymmetricEigen => contraction::infer(op, inputs),
        Op::ArgMax { axis } => {
            arity(inputs, 1)?;
            numbers(inputs[0])?;
            axis_within(*axis, &inputs[0].shape)?;
            ensure!(
                inputs[0].shape[*axis] > 0 && i32::try_from(inputs[0].shape[*axis]).is_ok(),
                "an axis of 1 to 2^31-1 elements",
                inputs[0].to_string()
            );
            one(DType::I32, without(&inputs[0].shape, &[*axis]))
        }
        Op::Sort { axis, .. } => {
            ensure!(!inputs.is_empty(), "at least one operand", "none");
            axis_within(*axis, &inputs[0].shape)?;
            for input in inputs {
                same_shape(inputs[0], input)?;
            }
            Ok(inputs.iter().map(|&input| input.clone()).collect())
        }
        Op::CumulativeSum { axis, .. } => {
            arity(inputs, 1)?;
            numbers(inputs[0])?;
            axis_within(*axis, &inputs[0].shape)?;
            Ok(vec![inputs[0].clone()])
        }
        Op::LinearSolve(_) | Op::FixedPoint(_) | Op::Scan(_) | Op::While(_) => {
            control::infer(op, inputs)
        }
    }?;
    for ty in &types {
        fits_address_space(ty)?;
    }
    Ok(types)
}

/// Refuses a type whose elements have no addresses, so that sizes can be multiplied afterwards.
pub(crate) fn fits_address_space(ty: &TensorType) -> Result<(), Mismatch> {
    let bytes = element_count(&ty.shape).and_then(|n| n.checked_mul(ty.dtype.size()));
    ensure!(
        bytes.is_some_and(|bytes| bytes <= isize::MAX as usize),
        "a result that fits the address space",
        ty.to_string()
    );
    Ok(())
}

fn unary_type(unary: Unary, inputs: &[&TensorType]) -> Inferred {
    arity(inputs, 1)?;
    let dtype = inputs[0].dtype;
    match unary {
        Unary::Negate | Unary::Abs | Unary::Sign => {
            ensure!(
                dtype.is_float() || matches!(dtype, DType::I32 | DType::I64),
                "signed numbers",
                inputs[0].to_string()
            );
        }
        Unary::Not => ensure!(!dtype.is_float(), "integers or booleans", inputs[0].to_string()),
        Unary::Exp
        | Unary::Expm1
        | Unary::Log
        | Unary::Log1p
        | Unary::Sqrt
        | Unary::Rsqrt
        | Unary::Sin
        | Unary::Cos
        | Unary::Tanh
        | Unary::Logistic
        | Unary::Erf
        | Unary::Floor
        | Unary::Ceil
        | Unary::Round
        | Unary::IsFinite => floats(inputs[0])?,
    }
    let result = if unary == Unary::IsFinite { DType::Bool } else { dtype };
    one(result, inputs[0].shape.as_slice())
}

fn binary_type(binary: Binary, inputs: &[&TensorType]) -> Inferred {
    arity(inputs, 2)?;
    same_type(inputs[0], inputs[1])?;
    let dtype = inputs[0].dtype;
    match binary {
        Binary::Add
        | Binary::Subtract
        | Binary::Multiply
        | Binary::Divide
        | Binary::Remainder
        | Binary::Maximum
        | Binary::Minimum => numbers(inputs[0])?,
        Binary::Power => floats(inputs[0])?,
        Binary::And | Binary::Or | Binary::Xor => {
            ensure!(!dtype.is_float(), "integers or booleans", inputs[0].to_string())
        }
        Binary::ShiftLeft | Binary::ShiftRightLogical => {
            ensure!(dtype.is_integer(), "integers", inputs[0].to_string())
        }
    }
    Ok(vec![inputs[0].clone()])
}

fn one(dtype: DType, shape: impl Into<Vec<usize>>) -> Inferred {
    Ok(vec![TensorType::new(dtype, shape)])
}

fn arity(inputs: &[&TensorType], n: usize) -> Result<(), Mismatch> {
    ensure!(inputs.len() == n, format!("{n} operands"), inputs.len().to_string());
    Ok(())
}

fn numbers(ty: &TensorType) -> Result<(), Mismatch> {
    ensure!(ty.dtype != DType::Bool, "numbers", ty.to_string());
    Ok(())
}

fn floats(ty: &TensorType) -> Result<(), Mismatch> {
    ensure!(ty.dtype.is_float(), "floats", ty.to_string());
    Ok(())
}

fn integers(ty: &TensorType) -> Result<(), Mismatch> {
    ensure!(ty.dtype.is_integer(), "integers", ty.to_string());
    Ok(())
}

fn same_type(a: &TensorType, b: &TensorType) -> Result<(), Mismatch> {
    ensure!(a == b, format!("a second operand of type {a}"), b.to_string());
    Ok(())
}

fn same_shape(a: &TensorType, b: &TensorType) -> Result<(), Mismatch> {
    ensure!(a.shape == b.shape, format!("shape {:?}", a.shape), b.to_string());
    Ok(())
}

fn axis_within(axis: usize, shape: &[usize]) -> Result<(), Mismatch> {
    ensure!(axis < shape.len(), format!("an axis below {}", shape.len()), axis.to_string());
    Ok(())
}

fn increasing_axes(axes: &[usize], ty: &TensorType) -> Result<(), Mismatch> {
    let increasing = axes.windows(2).all(|pair| pair[0] < pair[1]);
    let within = axes.last().is_none_or(|&last| last < ty.rank());
    ensure!(increasing && within, format!("increasing axes of {ty}"), format!("{axes:?}"));
    Ok(())
}

fn without(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    (0..shape.len()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis]).collect()
}
