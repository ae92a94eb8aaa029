//! The numbers that an array may hold.

use serde_json::Value;

/// A number type of Zarr, stored little-endian.
pub trait Element: Copy + Send + Sync + 'static {
    /// Its name in metadata.
    const NAME: &'static str;
    /// What a place holds that was never written.
    const FILL: Self;
    /// The fill value in metadata.
    fn fill_json() -> Value;
    /// The bytes of some values.
    fn to_bytes(values: &[Self]) -> Vec<u8>;
    /// The values of some bytes; a remainder is left.
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! element {
    ($type:ty, $name:literal, $fill:expr, $json:expr) => {
        impl Element for $type {
            const NAME: &'static str = $name;
            const FILL: Self = $fill;
            fn fill_json() -> Value {
                Value::from($json)
            }
            fn to_bytes(values: &[Self]) -> Vec<u8> {
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            }
            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                let (whole, _) = bytes.as_chunks();
                whole.iter().map(|bytes| <$type>::from_le_bytes(*bytes)).collect()
            }
        }
    };
}

element!(f64, "float64", f64::NAN, "NaN");
element!(f32, "float32", f32::NAN, "NaN");
element!(i64, "int64", 0, 0);
element!(i32, "int32", 0, 0);
element!(u64, "uint64", 0, 0);
element!(u32, "uint32", 0, 0);
element!(u8, "uint8", 0, 0);

/// The fill value, in metadata, of the type of that name.
pub(super) fn fill_of(name: &str) -> Option<Value> {
    Some(match name {
        f64::NAME => f64::fill_json(),
        f32::NAME => f32::fill_json(),
        i64::NAME => i64::fill_json(),
        i32::NAME => i32::fill_json(),
        u64::NAME => u64::fill_json(),
        u32::NAME => u32::fill_json(),
        u8::NAME => u8::fill_json(),
        _ => return None,
    })
}
