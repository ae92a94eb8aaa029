//! Element-wise operations and normalisations.

use super::extent::Extent;
use super::file::{data_type, float, int};
use super::held::Held;
use super::print::Printer;
use super::unsupported;
use crate::FormatError;
use crate::onnx::proto::AttributeProto;
use crate::onnx::proto::tensor_proto::DataType;
use thalweg_array::{Array, DType};
use thalweg_graph::{Binary, Comparison, Unary, Value};

impl Printer<'_> {
    /// An element-wise operation in the order in which its largest operand lies.
    pub(super) fn elementwise(
        &mut self,
        op: &str,
        operands: &[Held],
        dtype: DataType,
        rank: usize,
    ) -> Result<Held, FormatError> {
        self.elementwise_with(op, operands, Vec::new(), dtype, rank)
    }

    fn elementwise_with(
        &mut self,
        op: &str,
        operands: &[Held],
        attributes: Vec<AttributeProto>,
        dtype: DataType,
        rank: usize,
    ) -> Result<Held, FormatError> {
        let one = Extent::Fixed(1);
        let grown = |held: &Held| held.extents.iter().filter(|&&extent| extent != one).count();
        let lead = operands.iter().max_by_key(|held| (grown(held), held.axes.len()));
        // Of several that are as large the first, as a reader would.
        let lead = lead.and_then(|largest| {
            operands
                .iter()
                .find(|held| (grown(held), held.axes.len()) == (grown(largest), largest.axes.len()))
        });
        let Some(lead) = lead else { return Err(unsupported(format!("{op} of nothing"))) };
        let order = lead.order(rank);
        let shuffle = lead.shuffle.clone().filter(|shuffle| {
            let reads = |held: &&Held| held.extent(shuffle.axis) != one;
            operands.iter().filter(reads).all(|held| held.shuffle.as_ref() == Some(shuffle))
        });
        let mut aligned = Vec::new();
        for held in operands {
            let held = match shuffle.is_some() {
                true => held.clone(),
                false => self.file.unshuffled(held)?,
            };
            aligned.push(self.file.aligned(&held, &order)?);
        }
        let length = aligned.iter().map(|held| held.axes.len()).max().unwrap_or(0);
        let mut extents = vec![one; length];
        for held in &aligned {
            let start = length - held.extents.len();
            for (extent, &own) in extents[start..].iter_mut().zip(&held.extents) {
                if *extent == one {
                    *extent = own;
                }
            }
        }
        let names: Vec<&str> = aligned.iter().map(|held| held.name.as_str()).collect();
        let value = self.file.one(op, &names, attributes, (dtype, extents));
        Ok(Held { value, axes: order[rank - length..].to_vec(), shuffle })
    }

    /// A number of a type.
    pub(super) fn number(&mut self, dtype: DType, value: f64) -> Result<Held, FormatError> {
        Ok(Held::plain(self.file.constant(&Array::scalar(value).convert(dtype))?))
    }

    /// An element-wise operation among values of the operand's type.
    fn of(&mut self, op: &str, operands: &[&Held], rank: usize) -> Result<Held, FormatError> {
        let operands: Vec<Held> = operands.iter().map(|&held| held.clone()).collect();
        let dtype = operands.first().map_or(DataType::Undefined, |held| held.dtype);
        self.elementwise(op, &operands, dtype, rank)
    }

    fn test(&mut self, op: &str, operands: &[&Held], rank: usize) -> Result<Held, FormatError> {
        let operands: Vec<Held> = operands.iter().map(|&held| held.clone()).collect();
        self.elementwise(op, &operands, DataType::Bool, rank)
    }

    fn choose(&mut self, operands: [&Held; 3], rank: usize) -> Result<Held, FormatError> {
        let dtype = operands[1].dtype;
        self.elementwise("Where", &operands.map(Held::clone), dtype, rank)
    }

    fn engine(&self, value: Value) -> (DType, usize) {
        let ty = self.traced.graph.type_of(value);
        (ty.dtype, ty.rank())
    }

    pub(super) fn unary(&mut self, unary: Unary, x: Value) -> Result<Held, FormatError> {
        let (dtype, rank) = self.engine(x);
        let x = self.get(x);
        let op = match unary {
            Unary::Negate => "Neg",
            Unary::Abs => "Abs",
            Unary::Sign => "Sign",
            Unary::Exp => "Exp",
            Unary::Log => "Log",
            Unary::Sqrt => "Sqrt",
            Unary::Sin => "Sin",
            Unary::Cos => "Cos",
            Unary::Tanh => "Tanh",
            Unary::Logistic => "Sigmoid",
            Unary::Erf => "Erf",
            Unary::Floor => "Floor",
            Unary::Ceil => "Ceil",
            Unary::Round => "Round",
            Unary::Not if dtype == DType::Bool => "Not",
            Unary::Not => "BitwiseNot",
            Unary::Rsqrt => {
                let root = self.of("Sqrt", &[&x], rank)?;
                return self.of("Reciprocal", &[&root], rank);
            }
            Unary::Expm1 => {
                // tanh(x / 2) (e^x + 1), in which nothing cancels.
                let (half, one) = (self.number(dtype, 0.5)?, self.number(dtype, 1.0)?);
                let halved = self.of("Mul", &[&x, &half], rank)?;
                let share = self.of("Tanh", &[&halved], rank)?;
                let power = self.of("Exp", &[&x], rank)?;
                let sum = self.of("Add", &[&power, &one], rank)?;
                return self.of("Mul", &[&share, &sum], rank);
            }
            Unary::Log1p => return self.log1p(&x, dtype, rank),
            Unary::IsFinite => {
                let nan = self.test("IsNaN", &[&x], rank)?;
                let infinite = self.test("IsInf", &[&x], rank)?;
                let either = self.test("Or", &[&nan, &infinite], rank)?;
                return self.test("Not", &[&either], rank);
            }
        };
        self.of(op, &[&x], rank)
    }

    /// `log(u) x / (u - 1)` with `u = 1 + x` rounded: the error of rounding divides out (Kahan).
    fn log1p(&mut self, x: &Held, dtype: DType, rank: usize) -> Result<Held, FormatError> {
        let (zero, one) = (self.number(dtype, 0.0)?, self.number(dtype, 1.0)?);
        let sum = self.of("Add", &[x, &one], rank)?;
        let rounded = self.of("Sub", &[&sum, &one], rank)?;
        let log = self.of("Log", &[&sum], rank)?;
        let ratio = self.of("Div", &[x, &rounded], rank)?;
        let corrected = self.of("Mul", &[&log, &ratio], rank)?;
        // Where nothing was rounded, infinity included, the logarithm is right as it is.
        let exact = self.test("Equal", &[&rounded, x], rank)?;
        let lost = self.test("Equal", &[&rounded, &zero], rank)?;
        let small = self.choose([&lost, x, &corrected], rank)?;
        self.choose([&exact, &log, &small], rank)
    }

    pub(super) fn binary(
        &mut self,
        binary: Binary,
        a: Value,
        b: Value,
    ) -> Result<Held, FormatError> {
        let (dtype, rank) = self.engine(a);
        let (a, b) = (self.get(a), self.get(b));
        let whole = dtype.is_integer();
        let op = match binary {
            Binary::Add => "Add",
            Binary::Subtract => "Sub",
            Binary::Multiply => "Mul",
            Binary::Divide if whole => return self.divided("Div", &a, &b, dtype, rank),
            Binary::Divide => "Div",
            Binary::Remainder if whole => return self.divided("Mod", &a, &b, dtype, rank),
            Binary::Remainder => {
                let truncated = vec![int("fmod", 1)];
                return self.elementwise_with("Mod", &[a, b], truncated, data_type(dtype), rank);
            }
            Binary::Power => "Pow",
            Binary::Maximum => "Max",
            Binary::Minimum => "Min",
            Binary::And if dtype == DType::Bool => "And",
            Binary::Or if dtype == DType::Bool => "Or",
            Binary::Xor if dtype == DType::Bool => "Xor",
            Binary::And => "BitwiseAnd",
            Binary::Or => "BitwiseOr",
            Binary::Xor => "BitwiseXor",
            Binary::ShiftLeft => return self.shifted("LEFT", &a, &b, dtype, rank),
            Binary::ShiftRightLogical => return self.shifted("RIGHT", &a, &b, dtype, rank),
        };
        self.of(op, &[&a, &b], rank)
    }

    /// Division of integers, by zero giving zero.
    fn divided(
        &mut self,
        op: &str,
        a: &Held,
        b: &Held,
        dtype: DType,
        rank: usize,
    ) -> Result<Held, FormatError> {
        let (zero, one) = (self.number(dtype, 0.0)?, self.number(dtype, 1.0)?);
        let by_zero = self.test("Equal", &[b, &zero], rank)?;
        let divisor = self.choose([&by_zero, &one, b], rank)?;
        let attributes = if op == "Mod" { vec![int("fmod", 1)] } else { Vec::new() };
        let operands = [a.clone(), divisor];
        let result = self.elementwise_with(op, &operands, attributes, data_type(dtype), rank)?;
        self.choose([&by_zero, &zero, &result], rank)
    }

    /// A shift of bits, which ONNX has for unsigned numbers only; by the width or more gives zero.
    fn shifted(
        &mut self,
        direction: &str,
        a: &Held,
        b: &Held,
        dtype: DType,
        rank: usize,
    ) -> Result<Held, FormatError> {
        let unsigned = if dtype == DType::I64 { DataType::Uint64 } else { DataType::Uint32 };
        let bits = 8.0 * dtype.size() as f64;
        let (zero, width) = (self.number(dtype, 0.0)?, self.number(dtype, bits)?);
        let below = self.test("Less", &[b, &width], rank)?;
        let positive = self.test("GreaterOrEqual", &[b, &zero], rank)?;
        let within = self.test("And", &[&below, &positive], rank)?;
        let by = self.choose([&within, b, &zero], rank)?;
        let cast = |file: &mut super::file::File, held: &Held, dtype| Held {
            value: file.cast(&held.value, dtype),
            ..held.clone()
        };
        let operands = [cast(&mut self.file, a, unsigned), cast(&mut self.file, &by, unsigned)];
        let attributes = vec![super::file::text("direction", direction)];
        let result = self.elementwise_with("BitShift", &operands, attributes, unsigned, rank)?;
        let result = cast(&mut self.file, &result, data_type(dtype));
        self.choose([&within, &result, &zero], rank)
    }

    pub(super) fn compare(
        &mut self,
        comparison: Comparison,
        a: Value,
        b: Value,
    ) -> Result<Held, FormatError> {
        let (dtype, rank) = self.engine(a);
        let (mut a, mut b) = (self.get(a), self.get(b));
        let equality = matches!(comparison, Comparison::Equal | Comparison::NotEqual);
        if dtype == DType::Bool && !equality {
            for held in [&mut a, &mut b] {
                held.value = self.file.cast(&held.value, DataType::Int32);
            }
        }
        let op = match comparison {
            Comparison::Equal => "Equal",
            Comparison::NotEqual => {
                let equal = self.test("Equal", &[&a, &b], rank)?;
                return self.test("Not", &[&equal], rank);
            }
            Comparison::Less => "Less",
            Comparison::LessEqual => "LessOrEqual",
            Comparison::Greater => "Greater",
            Comparison::GreaterEqual => "GreaterOrEqual",
        };
        self.test(op, &[&a, &b], rank)
    }

    pub(super) fn select(&mut self, inputs: &[Value]) -> Result<Held, FormatError> {
        let (_, rank) = self.engine(inputs[1]);
        let operands = [self.get(inputs[0]), self.get(inputs[1]), self.get(inputs[2])];
        self.choose([&operands[0], &operands[1], &operands[2]], rank)
    }

    pub(super) fn convert(&mut self, x: Value, dtype: DType) -> Result<Held, FormatError> {
        let held = self.get(x);
        Ok(Held { value: self.file.cast(&held.value, data_type(dtype)), ..held })
    }

    pub(super) fn function(
        &mut self,
        op: &str,
        x: Value,
        alpha: Option<f64>,
    ) -> Result<Held, FormatError> {
        let (_, rank) = self.engine(x);
        let x = self.get(x);
        let attributes = alpha.map(|alpha| float("alpha", alpha)).into_iter().collect();
        let dtype = x.dtype;
        self.elementwise_with(op, &[x], attributes, dtype, rank)
    }

    pub(super) fn softmax(&mut self, x: Value, axis: usize) -> Result<Held, FormatError> {
        let held = self.as_it_lies(x)?;
        let place = held.place(axis).unwrap_or(axis);
        let attributes = vec![int("axis", place as i64)];
        let result = (held.dtype, held.extents.clone());
        let value = self.file.one("Softmax", &[&held.name], attributes, result);
        Ok(Held { value, ..held })
    }

    /// The order with the engine's last axis second, as ONNX has channels.
    fn channels_second(rank: usize) -> Vec<usize> {
        let last = rank - 1;
        [0, last].into_iter().chain(1..last).collect()
    }

    pub(super) fn batch_norm(
        &mut self,
        x: Value,
        vectors: [Value; 4],
        eps: f64,
    ) -> Result<Held, FormatError> {
        let (_, rank) = self.engine(x);
        let held = self.solid(x, &Self::channels_second(rank))?;
        let mut names = vec![held.name.clone()];
        for vector in vectors {
            names.push(self.plain(vector)?.name.clone());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let attributes = vec![float("epsilon", eps)];
        let result = (held.dtype, held.extents.clone());
        let value = self.file.one("BatchNormalization", &names, attributes, result);
        Ok(Held { value, ..held })
    }

    pub(super) fn layer_norm(
        &mut self,
        x: Value,
        [scale, shift]: [Value; 2],
        eps: f64,
    ) -> Result<Held, FormatError> {
        let (_, rank) = self.engine(x);
        let held = self.solid(x, &(0..rank).collect::<Vec<_>>())?;
        let (scale, shift) = (self.plain(scale)?, self.plain(shift)?);
        let attributes = vec![int("axis", -1), float("epsilon", eps)];
        let inputs = [held.name.as_str(), &scale.name, &shift.name];
        let result = (held.dtype, held.extents.clone());
        let value = self.file.one("LayerNormalization", &inputs, attributes, result);
        Ok(Held { value, ..held })
    }

    /// Each group of channels as one channel of an instance normalisation, as PyTorch writes it.
    pub(super) fn group_norm(
        &mut self,
        x: Value,
        groups: usize,
        eps: f64,
    ) -> Result<Held, FormatError> {
        let (dtype, rank) = self.engine(x);
        let held = self.solid(x, &Self::channels_second(rank))?;
        let rest = self.file.merged(&held.extents[1..])?;
        let each = rest.fixed().map(|count| Extent::Fixed(count / groups));
        let each = each.ok_or_else(|| unsupported("a group normalisation over the batch"))?;
        let extents = [held.extents[0], Extent::Fixed(groups), each];
        let grouped = self.file.reshape(&held.value, &extents)?;
        let ones = self.file.constant(&Array::full(&[groups], 1.0).convert(dtype))?;
        let zeros = self.file.constant(&Array::zeros(dtype, &[groups]))?;
        let inputs = [grouped.name.as_str(), &ones.name, &zeros.name];
        let attributes = vec![float("epsilon", eps)];
        let result = (held.dtype, extents.to_vec());
        let value = self.file.one("InstanceNormalization", &inputs, attributes, result);
        Ok(Held { value: self.file.reshape(&value, &held.extents.clone())?, ..held })
    }
}
