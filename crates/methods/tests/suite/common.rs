//! What the tests share: small models on real and planted data, and a store that dies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use thalweg_array::{Array, DType};
use thalweg_data::{
    Dataset, Normalization, Provenance, Split, SplitConfig, Stream, Subset, digits,
};
use thalweg_exec::Executor;
use thalweg_methods::{
    Context, MethodError, ModelObjective, NamedArrays, ObjectiveConfig, UnitStore,
};
use thalweg_nn::{Architecture, Loss, Model, Weights};

/// Seeds over which coverage is counted.
pub const SEEDS: u64 = 200;

/// A bar of 95 % covers between 90 and 99 %.
pub fn honest(what: &str, count: usize) {
    assert!((180..=198).contains(&count), "{what}: {count} of {SEEDS}");
}

/// A context in f64.
pub fn exact(executor: &Executor) -> Context<'_> {
    Context::new(executor, 0).with_precision(DType::F64).unwrap()
}

pub fn model(text: &str, input: &[usize], outputs: usize) -> Model {
    text.parse::<Architecture>().unwrap().build(input, outputs).unwrap()
}

/// Weights drawn at random, every one of them away from zero, and plausible buffers.
pub fn weights(model: &Model, float: DType) -> Weights {
    let stream = Stream::new(3, "test weights");
    let drawn = thalweg_train::initialize(model, 1, DType::F64).unwrap();
    let mut i = 0;
    let mut moved = |values: Vec<f64>| -> Vec<f64> {
        let shift = |x| {
            i += 1;
            x + 0.1 * stream.normal(i)
        };
        values.into_iter().map(shift).collect()
    };
    let parameters = drawn.parameters.unflatten(&moved(drawn.parameters.flatten())).unwrap();
    let buffers = drawn.buffers.unflatten(&moved(drawn.buffers.flatten())).unwrap();
    Weights { parameters, buffers }.convert(float)
}

/// The training part of the digits, normalised, and an objective on some of it.
pub fn on_digits(
    ctx: &Context<'_>,
    model: &Model,
    samples: Option<usize>,
    config: &ObjectiveConfig,
) -> ModelObjective {
    let split = Split::new(digits(), &SplitConfig::default()).unwrap();
    let normalization = Normalization::fit(&split.train).unwrap();
    let config = ObjectiveConfig { samples, ..*config };
    let data = Some(&normalization);
    ModelObjective::new(ctx, model, Loss::default(), &split.train, data, &config).unwrap()
}

/// `n` planted examples of `d` features, rows of the design matrix beside them.
pub fn planted(n: usize, d: usize) -> (Array, Vec<Vec<f64>>) {
    let stream = Stream::new(7, "planted");
    let values: Vec<f32> = (0..(n * d) as u64).map(|i| stream.normal(i) as f32).collect();
    let rows = values.chunks(d).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
    (Array::from_slice(&[n, d], &values).unwrap(), rows)
}

pub fn labelled(inputs: &Array, classes: usize) -> Subset {
    let n = inputs.shape()[0];
    let labels: Vec<i32> = (0..n).map(|i| (i * i % classes) as i32).collect();
    let provenance = Provenance::default();
    let labels = Array::vector(&labels);
    let data = Dataset::classification("planted", inputs, &labels, Some(classes), provenance);
    Subset::all(Arc::new(data.unwrap()))
}

pub fn valued(inputs: &Array) -> Subset {
    let n = inputs.shape()[0] as u64;
    let stream = Stream::new(8, "targets");
    let values: Vec<f32> = (0..n).map(|i| stream.normal(i) as f32).collect();
    let provenance = Provenance::default();
    let data = Dataset::regression("planted", inputs, &Array::vector(&values), provenance);
    Subset::all(Arc::new(data.unwrap()))
}

/// As `draw` of the scripts that write fixtures.
pub fn drawn(seed: u32, name: &str, n: usize) -> Vec<f64> {
    let mut state = 0x811c_9dc5u32;
    for byte in format!("{seed}/{name}").bytes() {
        state = (state ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 23) - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Keeps units, and refuses after so many of them, as a killed process would.
pub struct Dying {
    pub kept: Mutex<HashMap<String, NamedArrays>>,
    pub left: Mutex<usize>,
}

impl Dying {
    pub fn after(units: usize) -> Dying {
        Dying { kept: Mutex::default(), left: Mutex::new(units) }
    }

    pub fn revived(self) -> Dying {
        Dying { kept: self.kept, left: Mutex::new(usize::MAX) }
    }
}

impl UnitStore for Dying {
    fn get(&self, key: &str) -> Result<Option<NamedArrays>, MethodError> {
        Ok(self.kept.lock().unwrap().get(key).cloned())
    }

    fn put(&self, key: &str, arrays: &[(String, Array)]) -> Result<(), MethodError> {
        let mut left = self.left.lock().unwrap();
        if *left == 0 {
            return Err(MethodError::Interrupted);
        }
        *left -= 1;
        let earlier = self.kept.lock().unwrap().insert(key.to_owned(), arrays.to_vec());
        assert!(earlier.is_none(), "{key} was done twice");
        Ok(())
    }
}
