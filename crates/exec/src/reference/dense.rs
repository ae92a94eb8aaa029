//! Values of the oracle: elements of three kinds under a shape.

use thalweg_array::{Array, DType};
use thalweg_graph::TensorType;

/// One element. Floats of either width are `f64`; integers of every width are `i64`, kept within
/// the range of their type by [`wrap`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scalar {
    Float(f64),
    Integer(i64),
    Bool(bool),
}

impl Scalar {
    pub(super) fn zero(dtype: DType) -> Scalar {
        match dtype {
            DType::F32 | DType::F64 => Scalar::Float(0.0),
            DType::I32 | DType::I64 | DType::U32 => Scalar::Integer(0),
            DType::Bool => Scalar::Bool(false),
        }
    }

    pub(super) fn from_index(index: usize, dtype: DType) -> Scalar {
        if dtype.is_float() {
            Scalar::Float(index as f64)
        } else {
            Scalar::Integer(wrap(index as i128, dtype))
        }
    }

    pub(super) fn float(self) -> f64 {
        match self {
            Scalar::Float(x) => x,
            Scalar::Integer(_) | Scalar::Bool(_) => unreachable!("the verifier asked for floats"),
        }
    }

    pub(super) fn integer(self) -> i64 {
        match self {
            Scalar::Integer(x) => x,
            Scalar::Float(_) | Scalar::Bool(_) => unreachable!("the verifier asked for integers"),
        }
    }

    pub(super) fn boolean(self) -> bool {
        match self {
            Scalar::Bool(x) => x,
            Scalar::Float(_) | Scalar::Integer(_) => {
                unreachable!("the verifier asked for booleans")
            }
        }
    }
}

/// An integer brought into the range of its type by dropping high bits.
pub(super) fn wrap(value: i128, dtype: DType) -> i64 {
    match dtype {
        DType::I32 => i64::from(value as i32),
        DType::U32 => i64::from(value as u32),
        DType::I64 => value as i64,
        DType::F32 | DType::F64 | DType::Bool => unreachable!("{dtype} is no integer type"),
    }
}

/// A tensor: its elements in row-major order.
#[derive(Clone, Debug)]
pub(super) struct Dense {
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) elements: Vec<Scalar>,
}

impl Dense {
    /// The elements of an array, taken as elements of type `dtype`.
    pub(super) fn from_array(array: &Array, dtype: DType) -> Dense {
        let elements = match array.dtype() {
            DType::F32 | DType::F64 => array.to_f64_vec().into_iter().map(Scalar::Float).collect(),
            DType::I32 | DType::I64 | DType::U32 => {
                let wide = array.convert(DType::I64);
                let wide = wide.as_slice::<i64>().expect("converted");
                wide.iter().map(|&x| Scalar::Integer(x)).collect()
            }
            DType::Bool => {
                let booleans = array.as_slice::<bool>().expect("matched on the type");
                booleans.iter().map(|&x| Scalar::Bool(x)).collect()
            }
        };
        Dense { dtype, shape: array.shape().to_vec(), elements }
    }

    /// An array of type `dtype`; floats are rounded to it.
    pub(super) fn to_array(&self, dtype: DType) -> Array {
        let wide = match dtype {
            DType::F32 | DType::F64 => Array::vector(&self.floats()),
            DType::I32 | DType::I64 | DType::U32 => {
                Array::vector(&self.elements.iter().map(|x| x.integer()).collect::<Vec<_>>())
            }
            DType::Bool => {
                Array::vector(&self.elements.iter().map(|x| x.boolean()).collect::<Vec<_>>())
            }
        };
        wide.convert(dtype).reshape(&self.shape).expect("as many elements as the shape holds")
    }

    /// Each element from its index.
    pub(super) fn build(ty: &TensorType, mut element: impl FnMut(&[usize]) -> Scalar) -> Dense {
        let mut elements = Vec::with_capacity(ty.element_count());
        for_each_index(&ty.shape, |index| elements.push(element(index)));
        Dense { dtype: ty.dtype, shape: ty.shape.clone(), elements }
    }

    pub(super) fn zeros(ty: &TensorType) -> Dense {
        Dense::build(ty, |_| Scalar::zero(ty.dtype))
    }

    pub(super) fn from_floats(dtype: DType, shape: &[usize], floats: &[f64]) -> Dense {
        let elements = floats.iter().map(|&x| Scalar::Float(x)).collect();
        Dense { dtype, shape: shape.to_vec(), elements }
    }

    pub(super) fn floats(&self) -> Vec<f64> {
        self.elements.iter().map(|x| x.float()).collect()
    }

    pub(super) fn at(&self, index: &[usize]) -> Scalar {
        self.elements[offset(&self.shape, index)]
    }

    pub(super) fn at_mut(&mut self, index: &[usize]) -> &mut Scalar {
        &mut self.elements[offset(&self.shape, index)]
    }

    pub(super) fn map(&self, dtype: DType, f: impl Fn(Scalar) -> Scalar) -> Dense {
        let elements = self.elements.iter().map(|&x| f(x)).collect();
        Dense { dtype, shape: self.shape.clone(), elements }
    }

    pub(super) fn zip(
        &self,
        other: &Dense,
        dtype: DType,
        f: impl Fn(Scalar, Scalar) -> Scalar,
    ) -> Dense {
        let pairs = self.elements.iter().zip(&other.elements);
        let elements = pairs.map(|(&a, &b)| f(a, b)).collect();
        Dense { dtype, shape: self.shape.clone(), elements }
    }
}

/// Row-major position of an index.
pub(super) fn offset(shape: &[usize], index: &[usize]) -> usize {
    debug_assert_eq!(shape.len(), index.len());
    index.iter().zip(shape).fold(0, |at, (&i, &extent)| {
        debug_assert!(i < extent);
        at * extent + i
    })
}

/// Calls `visit` with every index of a shape, in row-major order.
pub(super) fn for_each_index(shape: &[usize], mut visit: impl FnMut(&[usize])) {
    if shape.contains(&0) {
        return;
    }
    let mut index = vec![0; shape.len()];
    loop {
        visit(&index);
        let mut axis = shape.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}
