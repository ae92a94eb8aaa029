//! Element types.

use crate::Array;
use std::fmt;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary64.
    F64,
    /// Signed 32-bit integer.
    I32,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 32-bit integer.
    U32,
    /// One byte, 0 or 1.
    Bool,
}

impl DType {
    /// Every element type.
    pub const ALL: [DType; 6] =
        [DType::F32, DType::F64, DType::I32, DType::I64, DType::U32, DType::Bool];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            DType::Bool => 1,
            DType::F32 | DType::I32 | DType::U32 => 4,
            DType::F64 | DType::I64 => 8,
        }
    }

    /// Whether this is `F32` or `F64`.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Whether this is `I32`, `I64` or `U32`.
    pub const fn is_integer(self) -> bool {
        matches!(self, DType::I32 | DType::I64 | DType::U32)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::F64 => "f64",
            DType::I32 => "i32",
            DType::I64 => "i64",
            DType::U32 => "u32",
            DType::Bool => "bool",
        })
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that is an element of an [`Array`].
pub trait Element: Copy + PartialEq + fmt::Debug + Send + Sync + sealed::Sealed + 'static {
    /// The element type it stands for.
    const DTYPE: DType;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),*) => {$(
        impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const DTYPE: DType = DType::$dtype;
        }
    )*};
}

elements!(f32 => F32, f64 => F64, i32 => I32, i64 => I64, u32 => U32, bool => Bool);

/// Writes every element of `from` into `to`, which has the same shape and another type.
pub(crate) fn convert(from: &Array, to: &mut Array) {
    macro_rules! from_number {
        ($source:ty) => {{
            let source = from.as_slice::<$source>().expect("matched on the type");
            match to.dtype() {
                DType::F32 => write(source, to, |v| v as f32),
                DType::F64 => write(source, to, |v| v as f64),
                DType::I32 => write(source, to, |v| v as i32),
                DType::I64 => write(source, to, |v| v as i64),
                DType::U32 => write(source, to, |v| v as u32),
                DType::Bool => write(source, to, |v| v != 0 as $source),
            }
        }};
    }
    match from.dtype() {
        DType::F32 => from_number!(f32),
        DType::F64 => from_number!(f64),
        DType::I32 => from_number!(i32),
        DType::I64 => from_number!(i64),
        DType::U32 => from_number!(u32),
        DType::Bool => {
            let source = from.as_slice::<bool>().expect("matched on the type");
            match to.dtype() {
                DType::F32 => write(source, to, |v| u8::from(v) as f32),
                DType::F64 => write(source, to, |v| u8::from(v) as f64),
                DType::I32 => write(source, to, i32::from),
                DType::I64 => write(source, to, i64::from),
                DType::U32 => write(source, to, u32::from),
                DType::Bool => write(source, to, |v| v),
            }
        }
    }
}

fn write<S: Element, T: Element>(source: &[S], to: &mut Array, convert: impl Fn(S) -> T) {
    let target = to.as_mut_slice::<T>().expect("matched on the type");
    for (to, &from) in target.iter_mut().zip(source) {
        *to = convert(from);
    }
}
