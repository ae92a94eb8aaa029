//! Element types of other formats and their conversion to ours.

use crate::FormatError;
use std::borrow::Cow;
use std::fmt;
use thalweg_array::{Array, ArrayError, DType, Element, element_count};

/// An element type as a file stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElementKind {
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// Signed 8-bit integer.
    I8,
    /// Signed 16-bit integer.
    I16,
    /// Signed 32-bit integer.
    I32,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 8-bit integer.
    U8,
    /// Unsigned 16-bit integer.
    U16,
    /// Unsigned 32-bit integer.
    U32,
    /// Unsigned 64-bit integer.
    U64,
    /// One byte, false if it is 0.
    Bool,
}

impl ElementKind {
    /// Bytes of one element.
    pub const fn size(self) -> usize {
        use ElementKind::*;
        match self {
            I8 | U8 | Bool => 1,
            F16 | BF16 | I16 | U16 => 2,
            F32 | I32 | U32 => 4,
            F64 | I64 | U64 => 8,
        }
    }

    /// Whether it is a float.
    pub const fn is_float(self) -> bool {
        use ElementKind::*;
        matches!(self, F16 | BF16 | F32 | F64)
    }

    /// The type of the array that holds such elements without loss: `f32` for halves, `i32` for
    /// integers below 32 bits, `i64` for unsigned 64-bit ones as far as they fit.
    pub const fn dtype(self) -> DType {
        use ElementKind::*;
        match self {
            F16 | BF16 | F32 => DType::F32,
            F64 => DType::F64,
            I8 | I16 | I32 | U8 | U16 => DType::I32,
            I64 | U64 => DType::I64,
            U32 => DType::U32,
            Bool => DType::Bool,
        }
    }
}

impl fmt::Display for ElementKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ElementKind::F16 => "float16",
            ElementKind::BF16 => "bfloat16",
            ElementKind::F32 => "float32",
            ElementKind::F64 => "float64",
            ElementKind::I8 => "int8",
            ElementKind::I16 => "int16",
            ElementKind::I32 => "int32",
            ElementKind::I64 => "int64",
            ElementKind::U8 => "uint8",
            ElementKind::U16 => "uint16",
            ElementKind::U32 => "uint32",
            ElementKind::U64 => "uint64",
            ElementKind::Bool => "bool",
        })
    }
}

/// An array as a file stores it: row-major, of a foreign type, in either byte order.
#[derive(Clone, Debug, PartialEq)]
pub struct RawArray<'a> {
    kind: ElementKind,
    big_endian: bool,
    shape: Vec<usize>,
    bytes: Cow<'a, [u8]>,
}

/// The number of bytes of a shape, `None` if it overflows.
pub(crate) fn byte_count(kind: ElementKind, shape: &[usize]) -> Option<usize> {
    element_count(shape)?.checked_mul(kind.size())
}

impl<'a> RawArray<'a> {
    /// An array over bytes that fill its shape, `None` if they do not.
    pub(crate) fn new(
        kind: ElementKind,
        big_endian: bool,
        shape: Vec<usize>,
        bytes: Cow<'a, [u8]>,
    ) -> Option<RawArray<'a>> {
        let fits = byte_count(kind, &shape) == Some(bytes.len());
        fits.then_some(RawArray { kind, big_endian, shape, bytes })
    }

    /// The element type in the file.
    pub fn kind(&self) -> ElementKind {
        self.kind
    }

    /// The extent of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements as they are stored.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether elements begin with their highest byte.
    pub(crate) fn is_big_endian(&self) -> bool {
        self.big_endian
    }

    /// The array as [`ElementKind::dtype`] says.
    ///
    /// # Errors
    /// An unsigned 64-bit integer above the largest signed one; no room.
    pub fn to_array(&self) -> Result<Array, FormatError> {
        let mut out = self.zeros(self.kind.dtype())?;
        match self.kind {
            ElementKind::F16 => self.fill(&mut out, |b| f16_to_f32(u16::from_le_bytes(b)))?,
            ElementKind::BF16 => self.fill(&mut out, |b| bf16_to_f32(u16::from_le_bytes(b)))?,
            ElementKind::F32 => self.fill(&mut out, f32::from_le_bytes)?,
            ElementKind::F64 => self.fill(&mut out, f64::from_le_bytes)?,
            ElementKind::I8 => self.fill(&mut out, |b| i32::from(i8::from_le_bytes(b)))?,
            ElementKind::I16 => self.fill(&mut out, |b| i32::from(i16::from_le_bytes(b)))?,
            ElementKind::I32 => self.fill(&mut out, i32::from_le_bytes)?,
            ElementKind::I64 => self.fill(&mut out, i64::from_le_bytes)?,
            ElementKind::U8 => self.fill(&mut out, |b: [u8; 1]| i32::from(b[0]))?,
            ElementKind::U16 => self.fill(&mut out, |b| i32::from(u16::from_le_bytes(b)))?,
            ElementKind::U32 => self.fill(&mut out, u32::from_le_bytes)?,
            ElementKind::U64 => {
                let mut too_large = None;
                self.fill(&mut out, |b| {
                    let value = u64::from_le_bytes(b);
                    i64::try_from(value).unwrap_or_else(|_| {
                        too_large = Some(value);
                        0
                    })
                })?;
                if let Some(value) = too_large {
                    let what = format!("the uint64 {value} does not fit int64");
                    return Err(FormatError::Unsupported { format: "array", what });
                }
            }
            ElementKind::Bool => self.fill(&mut out, |b: [u8; 1]| b[0] != 0)?,
        }
        Ok(out)
    }

    /// The array as `f32`, whatever its type: without the step by way of [`RawArray::to_array`],
    /// which for images would take as much memory again.
    ///
    /// # Errors
    /// No room.
    pub fn to_f32(&self) -> Result<Array, FormatError> {
        let mut out = self.zeros(DType::F32)?;
        self.write_f32(out.as_mut_slice::<f32>()?);
        Ok(out)
    }

    /// Converts into a slice of as many elements.
    pub(crate) fn write_f32(&self, out: &mut [f32]) {
        match self.kind {
            ElementKind::F16 => self.each(out, |b| f16_to_f32(u16::from_le_bytes(b))),
            ElementKind::BF16 => self.each(out, |b| bf16_to_f32(u16::from_le_bytes(b))),
            ElementKind::F32 => self.each(out, f32::from_le_bytes),
            ElementKind::F64 => self.each(out, |b| f64::from_le_bytes(b) as f32),
            ElementKind::I8 => self.each(out, |b| f32::from(i8::from_le_bytes(b))),
            ElementKind::I16 => self.each(out, |b| f32::from(i16::from_le_bytes(b))),
            ElementKind::I32 => self.each(out, |b| i32::from_le_bytes(b) as f32),
            ElementKind::I64 => self.each(out, |b| i64::from_le_bytes(b) as f32),
            ElementKind::U8 => self.each(out, |b: [u8; 1]| f32::from(b[0])),
            ElementKind::U16 => self.each(out, |b| f32::from(u16::from_le_bytes(b))),
            ElementKind::U32 => self.each(out, |b| u32::from_le_bytes(b) as f32),
            ElementKind::U64 => self.each(out, |b| u64::from_le_bytes(b) as f32),
            ElementKind::Bool => self.each(out, |b: [u8; 1]| f32::from(u8::from(b[0] != 0))),
        }
    }

    fn zeros(&self, dtype: DType) -> Result<Array, ArrayError> {
        Array::try_zeros(dtype, &self.shape)
    }

    fn fill<T: Element, const N: usize>(
        &self,
        out: &mut Array,
        convert: impl FnMut([u8; N]) -> T,
    ) -> Result<(), ArrayError> {
        self.each(out.as_mut_slice::<T>()?, convert);
        Ok(())
    }

    /// Converts element by element, handing over each one's bytes in little-endian order.
    fn each<T, const N: usize>(&self, out: &mut [T], mut convert: impl FnMut([u8; N]) -> T) {
        let (elements, _) = self.bytes.as_chunks::<N>();
        for (to, &from) in out.iter_mut().zip(elements) {
            let mut element = from;
            if self.big_endian {
                element.reverse();
            }
            *to = convert(element);
        }
    }
}

/// Reorders the bytes of a column-major array to row-major; none if there is no room.
pub(crate) fn from_fortran(size: usize, shape: &[usize], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = 1usize;
    for &extent in shape {
        strides.push(stride);
        stride = stride.saturating_mul(extent);
    }
    gather(size, shape, &strides, 0, bytes)
}

/// The bytes of a strided view in row-major order; none if it leaves `bytes` or there is no room.
/// Strides and offset count elements of `size` bytes.
pub(crate) fn gather(
    size: usize,
    shape: &[usize],
    strides: &[usize],
    offset: usize,
    bytes: &[u8],
) -> Option<Vec<u8>> {
    let count = element_count(shape)?;
    let mut out = Vec::new();
    out.try_reserve_exact(count.checked_mul(size)?).ok()?;
    let mut index = vec![0usize; shape.len()];
    let mut from = offset;
    for _ in 0..count {
        let start = from.checked_mul(size)?;
        out.extend_from_slice(bytes.get(start..start.checked_add(size)?)?);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            from = from.wrapping_add(strides[axis]);
            if index[axis] < shape[axis] {
                break;
            }
            from = from.wrapping_sub(strides[axis].wrapping_mul(shape[axis]));
            index[axis] = 0;
        }
    }
    Some(out)
}

/// The value of the bits of a binary16.
fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10 & 0x1f);
    let fraction = u32::from(bits & 0x3ff);
    match exponent {
        // A subnormal is a whole number of 2^-24, which f32 holds exactly.
        0 => f32::from_bits(sign | (fraction as f32 * (-24f32).exp2()).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The value of the bits of a bfloat16.
fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_has_its_value() {
        for bits in 0..=u16::MAX {
            let (sign, exponent) = (if bits >> 15 == 1 { -1.0 } else { 1.0 }, bits >> 10 & 0x1f);
            let fraction = f64::from(bits & 0x3ff) / 1024.0;
            let value = f16_to_f32(bits);
            match (exponent, bits & 0x3ff) {
                (31, 0) => assert_eq!(f64::from(value), sign * f64::INFINITY),
                (31, _) => assert!(value.is_nan()),
                (0, _) => assert_eq!(f64::from(value), sign * fraction * 2f64.powi(-14)),
                _ => assert_eq!(
                    f64::from(value),
                    sign * (1.0 + fraction) * 2f64.powi(i32::from(exponent) - 15)
                ),
            }
            assert_eq!(value.is_sign_negative(), sign < 0.0);
        }
        assert_eq!(bf16_to_f32(0x3f80), 1.0);
        assert_eq!(bf16_to_f32(0xc120), -10.0);
    }

    #[test]
    fn both_byte_orders_and_all_types_convert() {
        let raw = |kind, big, bytes: &[u8]| {
            RawArray::new(kind, big, vec![1], Cow::Owned(bytes.to_vec())).unwrap()
        };
        use ElementKind::*;
        for (kind, little, value) in [
            (F16, &1u16.wrapping_mul(0x3c00).to_le_bytes()[..], 1.0),
            (BF16, &0x4000u16.to_le_bytes(), 2.0),
            (F32, &1.5f32.to_le_bytes(), 1.5),
            (F64, &(-2.5f64).to_le_bytes(), -2.5),
            (I8, &(-3i8).to_le_bytes(), -3.0),
            (I16, &(-300i16).to_le_bytes(), -300.0),
            (I32, &(-70_000i32).to_le_bytes(), -70_000.0),
            (I64, &(-(1i64 << 40)).to_le_bytes(), -(2f64.powi(40))),
            (U8, &[200], 200.0),
            (U16, &60_000u16.to_le_bytes(), 60_000.0),
            (U32, &(3u32 << 30).to_le_bytes(), 3.0 * 2f64.powi(30)),
            (U64, &(1u64 << 62).to_le_bytes(), 2f64.powi(62)),
            (Bool, &[7], 1.0),
        ] {
            let big: Vec<u8> = little.iter().rev().copied().collect();
            for array in [raw(kind, false, little), raw(kind, true, &big)] {
                let natural = array.to_array().unwrap();
                assert_eq!(natural.dtype(), kind.dtype());
                assert_eq!(natural.to_f64_vec(), [value], "{kind}");
                assert_eq!(array.to_f32().unwrap().to_f64_vec(), [value], "{kind}");
            }
        }
        let large = raw(U64, false, &u64::MAX.to_le_bytes()).to_array().unwrap_err();
        assert_eq!(large.to_string(), "array: the uint64 18446744073709551615 does not fit int64");
        assert!(RawArray::new(F32, false, vec![2], Cow::Borrowed(&[0; 7])).is_none());
        assert!(RawArray::new(F32, false, vec![1 << 40; 3], Cow::Borrowed(&[])).is_none());
    }

    #[test]
    fn column_major_becomes_row_major() {
        // The matrix [[1, 2, 3], [4, 5, 6]].
        assert_eq!(from_fortran(1, &[2, 3], &[1, 4, 2, 5, 3, 6]).unwrap(), [1, 2, 3, 4, 5, 6]);
        assert_eq!(from_fortran(2, &[2, 1], &[1, 1, 2, 2]).unwrap(), [1, 1, 2, 2]);
        assert_eq!(from_fortran(1, &[], &[9]).unwrap(), [9]);
        assert!(from_fortran(4, &[3, 0, 2], &[]).unwrap().is_empty());
        assert_eq!(from_fortran(4, &[3, 2], &[0; 20]), None);
    }

    #[test]
    fn strided_views_are_gathered() {
        let bytes: Vec<u8> = (0..12).collect();
        // Every other row of the last two columns of a [4, 3] matrix, and one row twice.
        assert_eq!(gather(1, &[2, 2], &[6, 1], 1, &bytes).unwrap(), [1, 2, 7, 8]);
        assert_eq!(gather(2, &[2, 2], &[0, 1], 3, &bytes).unwrap(), [6, 7, 8, 9, 6, 7, 8, 9]);
        assert_eq!(gather(1, &[2], &[12], 0, &bytes), None);
        assert_eq!(gather(1, &[1 << 40, 1 << 40], &[0, 0], 0, &bytes), None);
    }
}
