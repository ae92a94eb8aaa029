//! Arrays of NumPy's and the engine's.

use crate::failure::{Failure, Result};
use numpy::{
    Element as NumpyElement, PyArray, PyArrayDyn, PyArrayMethods, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use std::ptr::NonNull;
use thalweg_array::{Array, DType, Element};

/// An array of NumPy's as the engine's, over the same memory: C-contiguous, of `float32`,
/// `float64`, `int32`, `int64` or `uint32`. Only one that does not start where its elements may is
/// copied.
pub fn from_numpy(array: &Bound<'_, PyUntypedArray>) -> Result<Array> {
    let found = None
        .or_else(|| shared::<f32>(array))
        .or_else(|| shared::<f64>(array))
        .or_else(|| shared::<i32>(array))
        .or_else(|| shared::<i64>(array))
        .or_else(|| shared::<u32>(array));
    found.unwrap_or_else(|| {
        Err(Failure::shape(format!(
            "an array of {}: expected float32, float64, int32, int64 or uint32 in the machine's \
             byte order",
            array.dtype()
        )))
    })
}

/// As [`from_numpy`], and copies of booleans, whose bytes NumPy does not promise to be 0 or 1.
pub fn from_numpy_or_bool(array: &Bound<'_, PyUntypedArray>) -> Result<Array> {
    let Ok(typed) = array.cast::<PyArrayDyn<bool>>() else { return from_numpy(array) };
    let bytes = typed.call_method1("astype", ("int32",));
    let words = bytes.as_ref().ok().and_then(|b| b.cast::<PyUntypedArray>().ok());
    let words = words.ok_or_else(|| Failure::shape("an array of bool that cannot be read"))?;
    Ok(from_numpy(words)?.convert(DType::Bool))
}

fn shared<T: Element + NumpyElement>(array: &Bound<'_, PyUntypedArray>) -> Option<Result<Array>> {
    let typed = array.cast::<PyArrayDyn<T>>().ok()?;
    Some(borrow(typed))
}

fn borrow<T: Element + NumpyElement>(array: &Bound<'_, PyArrayDyn<T>>) -> Result<Array> {
    if !array.is_c_contiguous() {
        return Err(Failure::shape("an array that is not C-contiguous: expected one that is"));
    }
    let shape = array.shape().to_vec();
    let empty = || Ok(Array::try_zeros(T::DTYPE, &shape)?);
    let Some(start) = NonNull::new(array.data().cast::<u8>()) else { return empty() };
    if array.is_empty() {
        return empty();
    }
    let owner = Box::new(array.clone().unbind());
    // SAFETY: the array is contiguous and of this type, and its handle keeps the memory. That nobody
    // writes it meanwhile is what the package's documentation asks of its users, as NumPy does of
    // those who write to arrays while a function without the lock reads them.
    let borrowed = unsafe { Array::borrow_foreign(T::DTYPE, &shape, start, owner) };
    if let Ok(borrowed) = borrowed {
        return Ok(borrowed);
    }
    let mut copy = Array::try_zeros(T::DTYPE, &shape)?;
    let bytes = copy.size_in_bytes();
    // SAFETY: both are of so many bytes, and the copy is new.
    unsafe { std::ptr::copy_nonoverlapping(start.as_ptr(), copy.as_mut_ptr(), bytes) };
    Ok(copy)
}

/// A vector as an array of this shape; the memory changes hands.
pub fn to_numpy<'py, T: NumpyElement>(
    py: Python<'py>,
    values: Vec<T>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyAny>> {
    let flat = PyArray::from_vec(py, values);
    Ok(flat.reshape(shape.to_vec())?.into_any())
}

/// A copy of an array.
pub fn copied<'py>(py: Python<'py>, array: &Array) -> PyResult<Bound<'py, PyAny>> {
    fn of<'py, T: Element + NumpyElement>(
        py: Python<'py>,
        array: &Array,
    ) -> PyResult<Bound<'py, PyAny>> {
        let values = array.as_slice::<T>().map_err(Failure::from)?.to_vec();
        to_numpy(py, values, array.shape())
    }
    match array.dtype() {
        DType::F32 => of::<f32>(py, array),
        DType::F64 => of::<f64>(py, array),
        DType::I32 => of::<i32>(py, array),
        DType::I64 => of::<i64>(py, array),
        DType::U32 => of::<u32>(py, array),
        DType::Bool => of::<bool>(py, array),
    }
}

/// Arrays of Python's by name, in an order.
pub type Named<'py> = Vec<(String, Bound<'py, PyAny>)>;

/// Copies of arrays by name.
pub fn named<'py>(py: Python<'py>, arrays: &[(String, Array)]) -> PyResult<Named<'py>> {
    arrays.iter().map(|(name, array)| Ok((name.clone(), copied(py, array)?))).collect()
}

/// The `float64` vectors of an array `[k, n]`, each of `n` elements.
pub fn vectors(array: &Bound<'_, PyUntypedArray>, n: usize) -> Result<Vec<Vec<f64>>> {
    let array = from_numpy(array)?;
    match array.shape() {
        [_, length] if *length == n => {}
        got => {
            let text = format!(
                "vectors of shape {got:?}: expected [k, {n}], one element for each parameter"
            );
            return Err(Failure::shape(text));
        }
    }
    (0..array.shape()[0]).map(|k| Ok(array.row(k)?.to_f64_vec())).collect()
}
