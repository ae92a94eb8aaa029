//! Named arrays in order: a point in weight space.

use crate::error::NnError;
use std::sync::Arc;
use thalweg_array::{Array, DType};

/// Named arrays in a fixed order.
///
/// Cheap to clone: names and storage are shared.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    names: Arc<[String]>,
    arrays: Vec<Array>,
}

/// All that a trained model is, beside its function.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// What is trained.
    pub parameters: Parameters,
    /// Running statistics.
    pub buffers: Parameters,
}

impl Weights {
    /// The same numbers in another float type.
    pub fn convert(&self, float: DType) -> Weights {
        Weights { parameters: self.parameters.convert(float), buffers: self.buffers.convert(float) }
    }
}

impl Parameters {
    /// Arrays under names.
    ///
    /// # Errors
    /// A name that comes twice, or an array that holds no floats.
    pub fn new(entries: Vec<(String, Array)>) -> Result<Parameters, NnError> {
        for (i, (name, array)) in entries.iter().enumerate() {
            if !array.dtype().is_float() {
                return Err(NnError::FloatType { name: name.clone(), got: array.dtype() });
            }
            if entries[..i].iter().any(|(earlier, _)| earlier == name) {
                let expected = "every name once".into();
                return Err(NnError::Structure { expected, got: format!("{name} twice") });
            }
        }
        let (names, arrays) = entries.into_iter().unzip();
        Ok(Parameters::from_parts(names, arrays))
    }

    pub(crate) fn from_parts(names: Vec<String>, arrays: Vec<Array>) -> Parameters {
        Parameters { names: names.into(), arrays }
    }

    /// Number of arrays.
    pub fn len(&self) -> usize {
        self.arrays.len()
    }

    /// Whether there are no arrays.
    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty()
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The arrays.
    pub fn arrays(&self) -> &[Array] {
        &self.arrays
    }

    /// The arrays, owned.
    pub fn into_arrays(self) -> Vec<Array> {
        self.arrays
    }

    /// The array of a name.
    pub fn get(&self, name: &str) -> Option<&Array> {
        let index = self.names.iter().position(|known| known == name)?;
        Some(&self.arrays[index])
    }

    /// Names and arrays in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Array)> {
        self.names.iter().map(String::as_str).zip(&self.arrays)
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.arrays.iter().map(Array::len).sum()
    }

    /// Other arrays under the same names.
    ///
    /// # Errors
    /// `Structure` when their number or a shape differs.
    pub fn with_arrays(&self, arrays: Vec<Array>) -> Result<Parameters, NnError> {
        let other = Parameters { names: self.names.clone(), arrays };
        self.check(&other)?;
        Ok(other)
    }

    /// The same numbers in another float type.
    pub fn convert(&self, float: DType) -> Parameters {
        let arrays = self.arrays.iter().map(|array| array.convert(float)).collect();
        Parameters { names: self.names.clone(), arrays }
    }

    /// Euclidean norm of all elements, in f64.
    pub fn norm(&self) -> f64 {
        let squares = |array: &Array| array.to_f64_vec().iter().map(|x| x * x).sum::<f64>();
        self.arrays.iter().map(squares).sum::<f64>().sqrt()
    }

    /// Inner product with other parameters of the same structure, in f64.
    ///
    /// # Errors
    /// `Structure` when names or shapes differ.
    pub fn dot(&self, other: &Parameters) -> Result<f64, NnError> {
        self.check(other)?;
        let product = |(a, b): (&Array, &Array)| -> f64 {
            a.to_f64_vec().iter().zip(b.to_f64_vec()).map(|(a, b)| a * b).sum()
        };
        Ok(self.arrays.iter().zip(&other.arrays).map(product).sum())
    }

    /// `self + factor * other`, computed in f64 and kept in this one's type.
    ///
    /// # Errors
    /// `Structure` when names or shapes differ.
    pub fn add_scaled(&self, factor: f64, other: &Parameters) -> Result<Parameters, NnError> {
        self.check(other)?;
        let sum = |(a, b): (&Array, &Array)| -> Result<Array, NnError> {
            let terms = a.to_f64_vec().into_iter().zip(b.to_f64_vec());
            let sums: Vec<f64> = terms.map(|(a, b)| a + factor * b).collect();
            Ok(Array::from_slice(a.shape(), &sums)?.convert(a.dtype()))
        };
        let arrays = self.arrays.iter().zip(&other.arrays).map(sum).collect::<Result<_, _>>()?;
        Ok(Parameters { names: self.names.clone(), arrays })
    }

    /// All elements in order, as one `f64` vector.
    pub fn flatten(&self) -> Vec<f64> {
        self.arrays.iter().flat_map(Array::to_f64_vec).collect()
    }

    /// A vector cut up into arrays of this one's names, shapes and types.
    ///
    /// # Errors
    /// `Structure` when the vector's length is not [`Parameters::count`].
    pub fn unflatten(&self, vector: &[f64]) -> Result<Parameters, NnError> {
        if vector.len() != self.count() {
            return Err(NnError::Structure {
                expected: format!("{} elements", self.count()),
                got: vector.len().to_string(),
            });
        }
        let mut rest = vector;
        let mut arrays = Vec::with_capacity(self.len());
        for array in &self.arrays {
            let (head, tail) = rest.split_at(array.len());
            arrays.push(Array::from_slice(array.shape(), head)?.convert(array.dtype()));
            rest = tail;
        }
        Ok(Parameters { names: self.names.clone(), arrays })
    }

    fn check(&self, other: &Parameters) -> Result<(), NnError> {
        let describe = |(name, array): (&str, &Array)| format!("{name} {:?}", array.shape());
        if self.len() != other.len() {
            let expected = format!("{} arrays", self.len());
            return Err(NnError::Structure { expected, got: other.len().to_string() });
        }
        match self.iter().zip(other.iter()).find(|(a, b)| a.0 != b.0 || a.1.shape() != b.1.shape())
        {
            Some((expected, got)) => {
                Err(NnError::Structure { expected: describe(expected), got: describe(got) })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Parameters {
        let weight = Array::from_slice(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]).unwrap();
        let bias = Array::vector(&[-1.0f32, 0.5]);
        Parameters::new(vec![("w".into(), weight), ("b".into(), bias)]).unwrap()
    }

    #[test]
    fn a_vector_goes_round() {
        let p = two();
        let flat = p.flatten();
        assert_eq!(flat, [1.0, 2.0, 3.0, 4.0, -1.0, 0.5]);
        assert_eq!(p.unflatten(&flat).unwrap(), p);
        assert_eq!(
            p.unflatten(&flat[1..]).unwrap_err().to_string(),
            "parameters of one structure are needed: expected 6 elements, got 5"
        );
    }

    #[test]
    fn arithmetic_is_that_of_vectors() {
        let p = two();
        assert_eq!(p.norm(), 31.25f64.sqrt());
        assert_eq!(p.dot(&p).unwrap(), 31.25);
        let moved = p.add_scaled(-2.0, &p).unwrap();
        assert_eq!(moved.flatten(), [-1.0, -2.0, -3.0, -4.0, 1.0, -0.5]);
        assert_eq!(moved.get("b").unwrap().dtype(), DType::F32);
    }

    #[test]
    fn other_structures_are_refused() {
        let p = two();
        let other = Parameters::new(vec![("w".into(), Array::vector(&[1.0f64]))]).unwrap();
        assert!(p.dot(&other).is_err());
        assert!(p.with_arrays(vec![Array::vector(&[1.0f32]); 2]).is_err());
        let twice = vec![("w".into(), Array::scalar(1.0)), ("w".into(), Array::scalar(1.0))];
        assert!(Parameters::new(twice).is_err());
        let whole = vec![("w".into(), Array::scalar(1i32))];
        let message = Parameters::new(whole).unwrap_err().to_string();
        assert_eq!(message, "weights are f32 or f64, got i32 for w");
    }
}
