//! Host arrays: a shape, an element type, and 64-byte aligned storage shared by cheap views.
//!
//! An [`Array`] is dense and row-major. Cloning shares the storage; writing through
//! [`Array::as_mut_slice`] copies first if the storage is shared, is a view of a larger one, or
//! belongs to someone else ([`Array::borrow_foreign`]).
//! Nothing here computes: arithmetic belongs to the engine.

mod dtype;
mod storage;

pub use dtype::{DType, Element};

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use storage::Storage;

/// What can be wrong with a request to an [`Array`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// The number of elements does not fill the shape.
    #[error("shape {shape:?} holds {expected} elements, got {got}")]
    Length {
        /// The shape asked for.
        shape: Vec<usize>,
        /// Elements that the shape holds.
        expected: usize,
        /// Elements that were given.
        got: usize,
    },
    /// The elements were asked for as another type than they are.
    #[error("the array holds {got}, not {expected}")]
    DType {
        /// The type asked for.
        expected: DType,
        /// The type that is stored.
        got: DType,
    },
    /// The number of bytes of the shape does not fit the address space.
    #[error("shape {shape:?} of {dtype} is larger than the address space")]
    TooLarge {
        /// The shape asked for.
        shape: Vec<usize>,
        /// Its element type.
        dtype: DType,
    },
    /// Foreign memory that does not start where an element may.
    #[error("{dtype} elements at address {address:#x}, which is no multiple of their size")]
    Unaligned {
        /// The element type.
        dtype: DType,
        /// Where the memory starts.
        address: usize,
    },
    /// A range along the leading axis leaves the array.
    #[error("rows {start}..{end} of an array of shape {shape:?}")]
    Rows {
        /// First row asked for.
        start: usize,
        /// One past the last row asked for.
        end: usize,
        /// The shape that has too few rows.
        shape: Vec<usize>,
    },
    /// Arrays to be stacked differ in shape or type, or there are none.
    #[error("cannot stack: {0}")]
    Stack(String),
}

/// Number of elements of a shape, `None` if it overflows.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    // A zero extent empties the array whatever the others are.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |n, &extent| n.checked_mul(extent))
}

/// A dense row-major array on the host.
#[derive(Clone)]
pub struct Array {
    dtype: DType,
    shape: Vec<usize>,
    storage: Arc<Storage>,
    offset: usize,
}

impl Array {
    /// An array of zeros (`false` for booleans).
    ///
    /// # Panics
    /// If the size overflows the address space; check sizes that come from outside with
    /// [`Array::try_zeros`].
    pub fn zeros(dtype: DType, shape: &[usize]) -> Array {
        Array::try_zeros(dtype, shape).expect("array size fits the address space")
    }

    /// An array of zeros, or the reason why its size cannot be had.
    pub fn try_zeros(dtype: DType, shape: &[usize]) -> Result<Array, ArrayError> {
        let too_large = || ArrayError::TooLarge { shape: shape.to_vec(), dtype };
        let bytes = element_count(shape)
            .and_then(|n| n.checked_mul(dtype.size()))
            .filter(|&n| n <= isize::MAX as usize - 64)
            .ok_or_else(too_large)?;
        let storage = Storage::zeroed(bytes).ok_or_else(too_large)?;
        Ok(Array { dtype, shape: shape.to_vec(), storage: Arc::new(storage), offset: 0 })
    }

    /// An array from its elements in row-major order.
    pub fn from_slice<T: Element>(shape: &[usize], elements: &[T]) -> Result<Array, ArrayError> {
        let expected = element_count(shape).unwrap_or(usize::MAX);
        if expected != elements.len() {
            return Err(ArrayError::Length {
                shape: shape.to_vec(),
                expected,
                got: elements.len(),
            });
        }
        let mut array = Array::try_zeros(T::DTYPE, shape)?;
        array.as_mut_slice::<T>()?.copy_from_slice(elements);
        Ok(array)
    }

    /// An array over memory of someone else's, without a copy. It is never written: whoever writes
    /// the array writes a copy.
    ///
    /// # Errors
    /// A shape larger than the address space, or a start that is not a multiple of an element's
    /// size.
    ///
    /// # Safety
    /// `start` is that of all elements of the shape, in row-major order; each is a valid value of
    /// its type; nobody writes them while `owner` lives.
    pub unsafe fn borrow_foreign(
        dtype: DType,
        shape: &[usize],
        start: NonNull<u8>,
        owner: Box<dyn Any + Send + Sync>,
    ) -> Result<Array, ArrayError> {
        let bytes = element_count(shape).and_then(|n| n.checked_mul(dtype.size()));
        let bytes = bytes.filter(|&n| isize::try_from(n).is_ok());
        let bytes = bytes.ok_or_else(|| ArrayError::TooLarge { shape: shape.to_vec(), dtype })?;
        let address = start.as_ptr() as usize;
        if !address.is_multiple_of(dtype.size()) {
            return Err(ArrayError::Unaligned { dtype, address });
        }
        // SAFETY: the caller's promise.
        let storage = unsafe { Storage::foreign(start, bytes, owner) };
        Ok(Array { dtype, shape: shape.to_vec(), storage: Arc::new(storage), offset: 0 })
    }

    /// A one-dimensional array.
    pub fn vector<T: Element>(elements: &[T]) -> Array {
        Array::from_slice(&[elements.len()], elements).expect("a slice fills its own length")
    }

    /// An array of rank zero.
    pub fn scalar<T: Element>(value: T) -> Array {
        Array::from_slice(&[], &[value]).expect("one element fills rank zero")
    }

    /// An array with every element equal to `value`.
    pub fn full<T: Element>(shape: &[usize], value: T) -> Array {
        let mut array = Array::zeros(T::DTYPE, shape);
        array.as_mut_slice::<T>().expect("the type it was made with").fill(value);
        array
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The extent of each axis; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        element_count(&self.shape).unwrap_or(usize::MAX)
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// The number of bytes of the elements.
    pub fn size_in_bytes(&self) -> usize {
        self.len() * self.dtype.size()
    }

    /// The elements in row-major order.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], ArrayError> {
        if self.dtype != T::DTYPE {
            return Err(ArrayError::DType { expected: T::DTYPE, got: self.dtype });
        }
        // SAFETY: `offset` and `len` lie within the storage by construction, `offset` is a whole
        // number of elements from a boundary of elements, and every `Element` was written as such,
        // is zero, which is a valid value of each of them, or was promised to be one.
        Ok(unsafe { std::slice::from_raw_parts(self.as_ptr().cast(), self.len()) })
    }

    /// The elements, to be written. Copies first if the storage is shared with another array.
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T], ArrayError> {
        if self.dtype != T::DTYPE {
            return Err(ArrayError::DType { expected: T::DTYPE, got: self.dtype });
        }
        let len = self.len();
        // SAFETY: as in `as_slice`, and `as_mut_ptr` has made the storage unique.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), len) })
    }

    /// The elements as bytes in the machine's order.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: the range lies within the storage, and no element type has padding.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.size_in_bytes()) }
    }

    /// Address of the first element.
    pub fn as_ptr(&self) -> *const u8 {
        self.storage.as_ptr().wrapping_add(self.offset)
    }

    /// Address of the first element, to be written. Copies first if the storage is shared.
    ///
    /// Whoever writes through it must keep elements valid: a boolean is the byte 0 or 1.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        if !self.is_unique() {
            let mut own = Storage::zeroed(self.size_in_bytes()).expect("room for a copy");
            own.as_mut_bytes()[..self.size_in_bytes()].copy_from_slice(self.as_bytes());
            self.storage = Arc::new(own);
            self.offset = 0;
        }
        Arc::get_mut(&mut self.storage).expect("made unique above").as_mut_ptr()
    }

    /// Whether the storage is this array's alone, so that writing needs no copy.
    pub fn is_unique(&mut self) -> bool {
        let own = Arc::get_mut(&mut self.storage);
        self.offset == 0 && own.is_some_and(|storage| !storage.is_foreign())
    }

    /// The same elements under another shape.
    pub fn reshape(&self, shape: &[usize]) -> Result<Array, ArrayError> {
        let expected = element_count(shape).unwrap_or(usize::MAX);
        if expected != self.len() {
            return Err(ArrayError::Length { shape: shape.to_vec(), expected, got: self.len() });
        }
        Ok(Array { shape: shape.to_vec(), ..self.clone() })
    }

    /// A view of a range along the leading axis; shares the storage.
    pub fn rows(&self, range: Range<usize>) -> Result<Array, ArrayError> {
        let n_rows = self.shape.first().copied().unwrap_or(0);
        if range.start > range.end || range.end > n_rows || self.shape.is_empty() {
            return Err(ArrayError::Rows {
                start: range.start,
                end: range.end,
                shape: self.shape.clone(),
            });
        }
        let row_bytes = element_count(&self.shape[1..])
            .and_then(|n| n.checked_mul(self.dtype.size()))
            .unwrap_or(0); // Only an array without rows has rows so large.
        let mut shape = self.shape.clone();
        shape[0] = range.len();
        Ok(Array {
            dtype: self.dtype,
            shape,
            storage: self.storage.clone(),
            offset: self.offset + range.start * row_bytes,
        })
    }

    /// One entry along the leading axis, that axis removed; shares the storage.
    pub fn row(&self, index: usize) -> Result<Array, ArrayError> {
        let mut view = self.rows(index..index.saturating_add(1))?;
        view.shape.remove(0);
        Ok(view)
    }

    /// Copies arrays of one shape and type into one with a new leading axis.
    pub fn stack(arrays: &[Array]) -> Result<Array, ArrayError> {
        let first = arrays.first().ok_or_else(|| ArrayError::Stack("no arrays".into()))?;
        let mut shape = vec![arrays.len()];
        shape.extend_from_slice(&first.shape);
        let mut stacked = Array::try_zeros(first.dtype, &shape)?;
        let size = first.size_in_bytes();
        let out = stacked.as_mut_ptr();
        for (i, array) in arrays.iter().enumerate() {
            if array.shape != first.shape || array.dtype != first.dtype {
                return Err(ArrayError::Stack(format!(
                    "{} {:?} beside {} {:?}",
                    array.dtype, array.shape, first.dtype, first.shape
                )));
            }
            // SAFETY: `stacked` has room for `arrays.len()` parts of `size` bytes each.
            unsafe { std::ptr::copy_nonoverlapping(array.as_ptr(), out.add(i * size), size) };
        }
        Ok(stacked)
    }

    /// Every element converted as Rust's `as` does; a boolean is 0 or 1, and any non-zero value
    /// is `true`.
    pub fn convert(&self, dtype: DType) -> Array {
        if dtype == self.dtype {
            return self.clone();
        }
        let mut out = Array::zeros(dtype, &self.shape);
        dtype::convert(self, &mut out);
        out
    }

    /// All elements as `f64`.
    pub fn to_f64_vec(&self) -> Vec<f64> {
        self.convert(DType::F64).as_slice::<f64>().expect("converted").to_vec()
    }

    /// The only element of an array of one element, as `f64`.
    pub fn item(&self) -> Option<f64> {
        (self.len() == 1).then(|| self.to_f64_vec()[0])
    }
}

/// Equal shape, type and bytes: two NaNs of the same bits are equal, `0.0` and `-0.0` are not.
impl PartialEq for Array {
    fn eq(&self, other: &Array) -> bool {
        self.dtype == other.dtype
            && self.shape == other.shape
            && self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Array {}

impl std::hash::Hash for Array {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.dtype.hash(state);
        self.shape.hash(state);
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?} ", self.dtype, self.shape)?;
        let shown = self.len().min(8);
        let flat = self.reshape(&[self.len()]).and_then(|a| a.rows(0..shown));
        f.debug_list().entries(flat.map(|a| a.to_f64_vec()).unwrap_or_default()).finish()?;
        if self.len() > shown { write!(f, " ...") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_shares_until_it_is_written() {
        let base = Array::from_slice(&[3, 2], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        let mut view = base.rows(1..3).unwrap();
        assert_eq!(view.as_ptr(), base.as_ptr().wrapping_add(8));
        view.as_mut_slice::<f32>().unwrap()[0] = -1.0;
        assert_eq!(base.to_f64_vec(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(view.to_f64_vec(), [-1.0, 4.0, 5.0, 6.0]);
        assert_eq!(base.row(2).unwrap().shape(), [2]);
    }

    #[test]
    fn foreign_memory_is_read_in_place_kept_alive_and_never_written() {
        let owner: Arc<Vec<f32>> = Arc::new(vec![1.0, 2.0, 3.0, 4.0]);
        let start = NonNull::from(&owner[1]).cast::<u8>();
        // SAFETY: three elements from the second on, which the second handle keeps.
        let borrow = |dtype, start| unsafe {
            Array::borrow_foreign(dtype, &[3, 1], start, Box::new(owner.clone()))
        };
        let mut array = borrow(DType::F32, start).unwrap();
        assert_eq!((array.as_ptr(), array.is_unique()), (start.as_ptr().cast_const(), false));
        assert_eq!((Arc::strong_count(&owner), array.to_f64_vec()), (2, vec![2.0, 3.0, 4.0]));
        array.as_mut_slice::<f32>().unwrap()[0] = -1.0;
        assert_eq!((array.to_f64_vec(), owner[1]), (vec![-1.0, 3.0, 4.0], 2.0));
        assert_eq!(Arc::strong_count(&owner), 1, "the copy needs it no more");
        let odd = NonNull::new(start.as_ptr().wrapping_add(2)).unwrap();
        assert!(borrow(DType::F32, odd).unwrap_err().to_string().contains("no multiple"));
    }

    #[test]
    fn storage_is_aligned_to_cache_lines() {
        for n in [0, 1, 7, 1000] {
            assert_eq!(Array::zeros(DType::F32, &[n]).as_ptr() as usize % 64, 0);
        }
    }

    #[test]
    fn sizes_from_outside_are_refused_before_they_allocate() {
        let huge = Array::try_zeros(DType::F64, &[1 << 40, 1 << 40]);
        assert!(matches!(huge, Err(ArrayError::TooLarge { .. })));
        let more_than_memory = Array::try_zeros(DType::F64, &[1 << 58]);
        assert!(matches!(more_than_memory, Err(ArrayError::TooLarge { .. })));
    }

    #[test]
    fn conversion_follows_rust() {
        let floats = Array::vector(&[-1.5f32, 0.0, 2.5, 3e9]);
        assert_eq!(floats.convert(DType::I32).to_f64_vec(), [-1.0, 0.0, 2.0, 2147483647.0]);
        assert_eq!(
            floats.convert(DType::Bool).as_slice::<bool>().unwrap(),
            [true, false, true, true]
        );
        let back = floats.convert(DType::Bool).convert(DType::F64);
        assert_eq!(back.to_f64_vec(), [1.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn wrong_requests_say_what_was_expected() {
        let a = Array::vector(&[1i32, 2]);
        assert_eq!(a.as_slice::<f32>().unwrap_err().to_string(), "the array holds i32, not f32");
        assert_eq!(a.reshape(&[3]).unwrap_err().to_string(), "shape [3] holds 3 elements, got 2");
        assert_eq!(a.rows(1..3).unwrap_err().to_string(), "rows 1..3 of an array of shape [2]");
        assert!(Array::stack(&[]).is_err());
    }

    #[test]
    fn stacking_copies_in_order() {
        let parts = [Array::vector(&[1u32, 2]), Array::vector(&[3u32, 4])];
        let stacked = Array::stack(&parts).unwrap();
        assert_eq!(stacked.shape(), [2, 2]);
        assert_eq!(stacked.as_slice::<u32>().unwrap(), [1, 2, 3, 4]);
    }
}
