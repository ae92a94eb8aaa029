//! The inputs of a data set, in memory or where they are stored.

use crate::subset::gather;
use crate::{DataError, Rows, Sha256};
use std::fmt::Debug;
use std::sync::Arc;
use thalweg_array::{Array, DType};

/// Elements of a block when all rows are read one block after another.
const BLOCK_ELEMENTS: usize = 1 << 16;

/// Inputs that are read when they are asked for.
///
/// What is read is the same each time.
pub trait InputSource: Send + Sync + Debug {
    /// `[n, height, width, channels]` or `[n, d]`.
    fn shape(&self) -> &[usize];

    /// `f32`, or `f64` if single precision could change a value.
    fn dtype(&self) -> DType;

    /// Rows in the order given, of that type.
    ///
    /// # Errors
    /// A row that is none, what cannot be read, no room.
    fn rows(&self, rows: &[usize]) -> Result<Array, DataError>;
}

/// The inputs of a data set.
#[derive(Clone, Debug)]
pub enum Inputs {
    /// All of them, at hand.
    Memory(Array),
    /// Read row by row, since they may be larger than memory.
    Stored(StoredInputs),
}

/// Inputs of a source in the type that holds them without loss.
#[derive(Clone, Debug)]
pub struct StoredInputs {
    source: Arc<dyn InputSource>,
    dtype: DType,
    /// Of type, shape and elements, once they are known to be finite.
    hash: Sha256,
}

impl From<&Array> for Inputs {
    fn from(array: &Array) -> Inputs {
        Inputs::Memory(array.clone())
    }
}

impl From<Array> for Inputs {
    fn from(array: Array) -> Inputs {
        Inputs::Memory(array)
    }
}

impl From<Arc<dyn InputSource>> for Inputs {
    fn from(source: Arc<dyn InputSource>) -> Inputs {
        let dtype = source.dtype();
        Inputs::Stored(StoredInputs { source, dtype, hash: Sha256::new() })
    }
}

impl Inputs {
    /// `[n, ..]`.
    pub fn shape(&self) -> &[usize] {
        match self {
            Inputs::Memory(array) => array.shape(),
            Inputs::Stored(stored) => stored.source.shape(),
        }
    }

    /// The type of what is read.
    pub fn dtype(&self) -> DType {
        match self {
            Inputs::Memory(array) => array.dtype(),
            Inputs::Stored(stored) => stored.dtype,
        }
    }

    /// All of them as one array, unless they are stored.
    pub fn in_memory(&self) -> Option<&Array> {
        match self {
            Inputs::Memory(array) => Some(array),
            Inputs::Stored(_) => None,
        }
    }

    /// A hash that has seen type, shape and elements.
    pub(crate) fn hash(&self) -> Sha256 {
        match self {
            Inputs::Memory(array) => {
                let mut hash = Sha256::new();
                hash.update_array(array);
                hash
            }
            Inputs::Stored(stored) => stored.hash.clone(),
        }
    }

    /// Some rows, in the order given.
    ///
    /// # Errors
    /// A row that is none, what cannot be read, no room.
    pub fn gather(&self, rows: &[usize]) -> Result<Array, DataError> {
        let n = self.shape().first().copied().unwrap_or(0);
        if let Some(row) = rows.iter().find(|&&row| row >= n) {
            return Err(DataError::Range {
                what: "a row of the inputs",
                expected: format!("below {n}"),
                got: row.to_string(),
            });
        }
        match self {
            Inputs::Memory(array) => gather(array, rows),
            Inputs::Stored(stored) => Ok(stored.source.rows(rows)?.convert(stored.dtype)),
        }
    }

    /// Hands over some rows in order, a block of them at a time; those in memory as one block.
    ///
    /// # Errors
    /// Those of [`Inputs::gather`] and of `visit`.
    pub fn visit(
        &self,
        rows: &[usize],
        mut visit: impl FnMut(&Array) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let Inputs::Stored(_) = self else { return visit(&self.gather(rows)?) };
        let row_length = self.shape()[1..].iter().product::<usize>().max(1);
        for rows in rows.chunks((BLOCK_ELEMENTS / row_length).max(1)) {
            visit(&self.gather(rows)?)?;
        }
        Ok(())
    }

    /// Hands over all rows, as [`Inputs::visit`].
    ///
    /// # Errors
    /// As [`Inputs::visit`].
    pub fn visit_all(
        &self,
        visit: impl FnMut(&Array) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let n = self.shape().first().copied().unwrap_or(0);
        self.visit(&(0..n).collect::<Vec<_>>(), visit)
    }
}

impl StoredInputs {
    /// The same as `f32` where that changes no number; numbers that are not finite, or too large
    /// for `f32`, are named by their row.
    pub(crate) fn finite(self) -> Result<Inputs, DataError> {
        let dtype = self.dtype;
        let inputs = Inputs::Stored(self);
        let row_length = inputs.shape()[1..].iter().product::<usize>().max(1);
        let (mut rows, mut first, mut exact, mut start) = (Rows::default(), None, true, 0);
        // Whether single precision will do is known at the end: until then both are hashed.
        let (mut single, mut double) = (Sha256::new(), Sha256::new());
        single.update_type(DType::F32, inputs.shape());
        double.update_type(DType::F64, inputs.shape());
        inputs.visit_all(|block| {
            let converted = block.convert(DType::F32);
            let values = converted.as_slice::<f32>()?;
            for at in (0..values.len()).filter(|&at| !values[at].is_finite()) {
                rows.push(start + at / row_length);
                if first.is_none() {
                    let original = match block.dtype() {
                        DType::F64 => block.as_slice::<f64>()?[at],
                        _ => f64::from(values[at]),
                    };
                    first = Some((start + at / row_length, at % row_length, original.to_string()));
                }
            }
            if block.dtype() == DType::F64 {
                let given = block.as_slice::<f64>()?;
                exact &= given.iter().zip(values).all(|(&given, &v)| given == f64::from(v));
                double.update_elements(block);
            }
            if exact {
                single.update_elements(&converted);
            }
            start += block.shape()[0];
            Ok(())
        })?;
        if let Some((row, element, value)) = first {
            return Err(DataError::NotFinite { what: "inputs", row, rows, element, value });
        }
        let (dtype, hash) = if exact { (DType::F32, single) } else { (dtype, double) };
        match inputs {
            Inputs::Stored(stored) => Ok(Inputs::Stored(StoredInputs { dtype, hash, ..stored })),
            memory => Ok(memory),
        }
    }
}
