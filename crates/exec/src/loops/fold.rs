//! Accumulation of reductions in the order that [`super`] defines.

use super::LANES;
use thalweg_graph::{DType, Reduction};

/// An element type that can be reduced.
pub(super) trait Reduce: Copy {
    fn identity(kind: Reduction) -> Self;
    fn combine(kind: Reduction, a: Self, b: Self) -> Self;
}

macro_rules! reduce_float {
    ($($t:ty),*) => {$(
        impl Reduce for $t {
            #[inline(always)]
            fn identity(kind: Reduction) -> $t {
                match kind {
                    Reduction::Sum | Reduction::All | Reduction::Any => 0.0,
                    Reduction::Max => <$t>::NEG_INFINITY,
                    Reduction::Min => <$t>::INFINITY,
                }
            }
            #[inline(always)]
            fn combine(kind: Reduction, a: $t, b: $t) -> $t {
                match kind {
                    Reduction::Sum | Reduction::All | Reduction::Any => a + b,
                    Reduction::Max => maximum(a, b),
                    Reduction::Min => minimum(a, b),
                }
            }
        }
        impl NanOrder for $t {
            #[inline(always)]
            fn less(self, other: $t) -> bool { self < other }
            #[inline(always)]
            fn is_nan(self) -> bool { self != self }
        }
    )*};
}

macro_rules! reduce_integer {
    ($($t:ty),*) => {$(
        impl Reduce for $t {
            #[inline(always)]
            fn identity(kind: Reduction) -> $t {
                match kind {
                    Reduction::Sum | Reduction::Any => 0,
                    Reduction::All => 1,
                    Reduction::Max => <$t>::MIN,
                    Reduction::Min => <$t>::MAX,
                }
            }
            #[inline(always)]
            fn combine(kind: Reduction, a: $t, b: $t) -> $t {
                match kind {
                    Reduction::Sum => a.wrapping_add(b),
                    Reduction::Any => a | b,
                    Reduction::All => a & b,
                    Reduction::Max => a.max(b),
                    Reduction::Min => a.min(b),
                }
            }
        }
    )*};
}

trait NanOrder: Copy {
    fn less(self, other: Self) -> bool;
    fn is_nan(self) -> bool;
}

/// The larger of two, NaN if either is; of equal ones (`0.0`, `-0.0`) the first.
#[inline(always)]
#[allow(private_bounds)]
pub(super) fn maximum<T: NanOrder>(a: T, b: T) -> T {
    if a.less(b) || b.is_nan() { if a.is_nan() { a } else { b } } else { a }
}

/// The smaller of two, NaN if either is; of equal ones the first.
#[inline(always)]
#[allow(private_bounds)]
pub(super) fn minimum<T: NanOrder>(a: T, b: T) -> T {
    if b.less(a) || b.is_nan() { if a.is_nan() { a } else { b } } else { a }
}

reduce_float!(f32, f64);
reduce_integer!(i32, i64, u32, u8);

/// Calls a generic function with the storage type of a dtype (a boolean is a byte).
macro_rules! with_storage {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F64 => {
                type $t = f64;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::Bool => {
                type $t = u8;
                $body
            }
        }
    };
}
pub(super) use with_storage;

/// Calls `$body` with the reduction as `$combine`, a closure that is compiled for it alone.
macro_rules! with_kind {
    ($kind:expr, $t:ty, $combine:ident => $body:expr) => {{
        macro_rules! of {
            ($one:expr) => {{
                let $combine = |a: $t, b: $t| <$t>::combine($one, a, b);
                $body
            }};
        }
        match $kind {
            Reduction::Sum => of!(Reduction::Sum),
            Reduction::Max => of!(Reduction::Max),
            Reduction::Min => of!(Reduction::Min),
            Reduction::All => of!(Reduction::All),
            Reduction::Any => of!(Reduction::Any),
        }
    }};
}

/// Sets `live x columns` accumulators to the identity.
pub(super) unsafe fn clear(
    lanes: *mut u8,
    dtype: DType,
    kind: Reduction,
    live: usize,
    columns: usize,
) {
    with_storage!(dtype, T => {
        // SAFETY: the caller gives room for the lanes of every column.
        let lanes = unsafe { std::slice::from_raw_parts_mut(lanes.cast::<T>(), live * columns) };
        lanes.fill(T::identity(kind));
    });
}

/// Adds `rows x columns` elements whose first row is row `first` of the reduction.
#[inline(always)]
pub(super) unsafe fn add(
    lanes: *mut u8,
    from: *const u8,
    dtype: DType,
    kind: Reduction,
    first: usize,
    rows: usize,
    columns: usize,
) {
    with_storage!(dtype, T => {
        // SAFETY: the caller gives room for the lanes of every column and `rows * columns`
        // elements to read; the two do not overlap.
        let (lanes, from) = unsafe {
            (
                std::slice::from_raw_parts_mut(lanes.cast::<T>(), LANES * columns),
                std::slice::from_raw_parts(from.cast::<T>(), rows * columns),
            )
        };
        with_kind!(kind, T, combine => add_rows(lanes, from, first, columns, combine));
    });
}

#[inline(always)]
fn add_rows<T: Copy>(
    lanes: &mut [T],
    from: &[T],
    first: usize,
    columns: usize,
    combine: impl Fn(T, T) -> T,
) {
    // Lane and row advance together, so both sides are walked in memory order; only the start may
    // lie in the middle of the lanes.
    let start = (first % LANES) * columns;
    let head = (lanes.len() - start).min(from.len());
    for (lane, &x) in lanes[start..start + head].iter_mut().zip(&from[..head]) {
        *lane = combine(*lane, x);
    }
    for rows in from[head..].chunks(lanes.len()) {
        for (lane, &x) in lanes.iter_mut().zip(rows) {
            *lane = combine(*lane, x);
        }
    }
}

/// Joins the first `live` lanes pairwise; the first `columns` elements of `lanes` hold the result.
/// (The others hold the identity, which changes nothing.)
#[inline(always)]
pub(super) unsafe fn join_lanes(
    lanes: *mut u8,
    dtype: DType,
    kind: Reduction,
    live: usize,
    columns: usize,
) {
    with_storage!(dtype, T => {
        // SAFETY: the caller gives room for the lanes of every column.
        let lanes = unsafe { std::slice::from_raw_parts_mut(lanes.cast::<T>(), live * columns) };
        with_kind!(kind, T, combine => join_all(lanes, columns, combine));
    });
}

#[inline(always)]
fn join_all<T: Copy>(lanes: &mut [T], columns: usize, combine: impl Fn(T, T) -> T) {
    let mut half = LANES / 2;
    while half > 0 {
        if let Some((low, high)) = lanes.split_at_mut_checked(half * columns) {
            for (a, &b) in low.iter_mut().zip(high.iter()) {
                *a = combine(*a, b);
            }
        }
        half /= 2;
    }
}

/// Reduces `count` runs of `rows x columns` elements, each one block at most, to `columns` results
/// each. `lanes` has room for the lanes of every column.
#[inline(always)]
pub(super) unsafe fn runs(
    from: *const u8,
    to: *mut u8,
    lanes: *mut u8,
    dtype: DType,
    kind: Reduction,
    [count, rows, columns]: [usize; 3],
) {
    with_storage!(dtype, T => {
        let run = rows * columns;
        let live = rows.min(LANES) * columns;
        // SAFETY: the caller gives so many elements, which do not overlap.
        let (from, to, lanes) = unsafe {
            (
                std::slice::from_raw_parts(from.cast::<T>(), count * run),
                std::slice::from_raw_parts_mut(to.cast::<T>(), count * columns),
                std::slice::from_raw_parts_mut(lanes.cast::<T>(), live),
            )
        };
        let identity = T::identity(kind);
        with_kind!(kind, T, combine => {
            for (from, to) in from.chunks_exact(run).zip(to.chunks_exact_mut(columns)) {
                if columns == 1 {
                    to[0] = row(from, identity, combine);
                    continue;
                }
                lanes.fill(identity);
                add_rows(lanes, from, 0, columns, combine);
                join_all(lanes, columns, combine);
                to.copy_from_slice(&lanes[..columns]);
            }
        });
    });
}

/// A row reduced in registers.
#[inline(always)]
fn row<T: Copy>(from: &[T], identity: T, combine: impl Fn(T, T) -> T + Copy) -> T {
    let mut lanes = [identity; LANES];
    let mut whole = from.chunks_exact(LANES);
    for chunk in &mut whole {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = combine(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(whole.remainder()) {
        *lane = combine(*lane, x);
    }
    join_all(&mut lanes, 1, combine);
    lanes[0]
}

/// `into[k] = combine(into[k], from[k])` for `n` elements.
pub(super) unsafe fn combine(
    into: *mut u8,
    from: *const u8,
    dtype: DType,
    kind: Reduction,
    n: usize,
) {
    with_storage!(dtype, T => {
        // SAFETY: the caller gives two separate ranges of `n` elements.
        let (into, from) = unsafe {
            (
                std::slice::from_raw_parts_mut(into.cast::<T>(), n),
                std::slice::from_raw_parts(from.cast::<T>(), n),
            )
        };
        for (a, &b) in into.iter_mut().zip(from) {
            *a = T::combine(kind, *a, b);
        }
    });
}
