//! Measurements on inputs that are read by batch have the bits of those on inputs in memory.

use crate::common::{model, weights};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use thalweg_array::{Array, DType};
use thalweg_data::{
    DataError, Dataset, InputSource, Inputs, Normalization, Provenance, Split, SplitConfig,
    Targets, digits,
};
use thalweg_exec::Executor;
use thalweg_methods::common::{LinearOperator, gradient};
use thalweg_methods::curvature::{
    Curvature, CurvatureMatrix, ExampleGroup, Hessian, LanczosConfig, Scope, lanczos,
};
use thalweg_methods::gradients::{BatchGradientsConfig, gradient_noise_scale};
use thalweg_methods::registry::Instrument;
use thalweg_methods::sharpness::{MSharpnessConfig, m_sharpness};
use thalweg_methods::surface::{
    DirectionConfig, GridRange, RandomSurface, RandomSurfaceConfig, Tolerance, adaptive_surface,
    random_planes,
};
use thalweg_methods::{BatchNorm, Context, ModelObjective, Objective, ObjectiveConfig, evaluate};
use thalweg_nn::Loss;

/// Gives rows of an array as a file would, and counts them.
#[derive(Debug)]
struct Held(Array, Arc<AtomicUsize>);

impl InputSource for Held {
    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn dtype(&self) -> DType {
        self.0.dtype()
    }

    fn rows(&self, rows: &[usize]) -> Result<Array, DataError> {
        self.1.fetch_add(rows.len(), Ordering::Relaxed);
        Inputs::from(&self.0).gather(rows)
    }
}

/// The digits, in memory and stored, divided by 3 where `double`, which single precision changes.
fn both(double: bool, read: &Arc<AtomicUsize>) -> [Split; 2] {
    let digits = digits();
    let raw = digits.inputs().in_memory().expect("in memory").clone();
    let inputs = match double {
        true => {
            let thirds: Vec<f64> = raw.to_f64_vec().iter().map(|value| value / 3.0).collect();
            Array::from_slice(raw.shape(), &thirds).unwrap()
        }
        false => raw,
    };
    let Targets::Classes { labels, .. } = digits.targets() else { panic!("classes") };
    let stored: Arc<dyn InputSource> = Arc::new(Held(inputs.clone(), read.clone()));
    [Inputs::from(inputs), stored.into()].map(|inputs| {
        let terms = Provenance::default();
        let data = Dataset::classification("digits", inputs, labels, None, terms).unwrap();
        Split::new(Arc::new(data), &SplitConfig::default()).unwrap()
    })
}

#[test]
fn stored_inputs_are_measured_as_those_in_memory() {
    let executor = Executor::new(2);
    for (double, precision) in [(false, DType::F32), (true, DType::F64), (true, DType::F32)] {
        let ctx = Context::new(&executor, 0).with_precision(precision).unwrap();
        let [memory, stored] = both(double, &Arc::default());
        assert!(stored.train.is_stored() && !memory.train.is_stored());
        assert_eq!(memory.train.fingerprint(), stored.train.fingerprint());
        let moments = Normalization::fit(&memory.train).unwrap();
        assert_eq!(moments, Normalization::fit(&stored.train).unwrap());
        let model = model("linear", &[8, 8, 1], 10);
        let point = weights(&model, precision);
        let objective = |split: &Split, samples, batch_norm| {
            let config = ObjectiveConfig { samples, batch: 100, batch_norm };
            let (loss, moments) = (Loss::default(), Some(&moments));
            ModelObjective::new(&ctx, &model, loss, &split.train, moments, &config).unwrap()
        };
        for samples in [Some(150), None] {
            let [a, b] = [&memory, &stored].map(|s| objective(s, samples, BatchNorm::Frozen));
            assert_eq!(a.batches(), b.batches());
            for batch in 0..a.batches().len() {
                assert_eq!(a.data(batch).unwrap(), b.data(batch).unwrap());
            }
            let beyond = b.data(a.batches().len()).unwrap_err().to_string();
            let count = a.batches().len();
            assert_eq!(beyond, format!("a batch: expected one below {count}, got {count}"));
            let loss = |objective| evaluate(&ctx, objective, &point).unwrap();
            assert_eq!(loss(&a), loss(&b));
            let slope = |objective| gradient(&ctx, objective, &point).unwrap();
            assert_eq!(slope(&a), slope(&b));
        }
        let [a, b] = [&memory, &stored].map(|s| objective(s, Some(150), BatchNorm::Frozen));
        let surface = |objective| {
            let x = GridRange::new(-1.0, 1.0, 3).unwrap();
            let directions = DirectionConfig::default();
            let config = RandomSurfaceConfig { directions, x, y: None, pairs: 1 };
            RandomSurface::measure(&ctx, objective, &point, &config).unwrap()
        };
        assert_eq!(surface(&a), surface(&b));
        let spectrum = |objective| {
            let hessian = Hessian::new(&ctx, objective, &point).unwrap();
            let config = LanczosConfig::default();
            lanczos(&ctx, &hessian, &config).unwrap()
        };
        assert_eq!(format!("{:?}", spectrum(&a)), format!("{:?}", spectrum(&b)));
    }
}

/// What looks at some of the examples, or at all in another order, reads those and keeps none.
#[test]
fn some_of_the_stored_inputs_are_read_and_no_others() {
    let executor = Executor::new(2);
    let ctx = Context::new(&executor, 0).with_precision(DType::F64).unwrap();
    let read = Arc::new(AtomicUsize::new(0));
    let [memory, stored] = both(false, &read);
    let moments = Normalization::fit(&memory.train).unwrap();
    let model = model("linear", &[8, 8, 1], 10);
    let point = weights(&model, DType::F64);
    let [a, b] = [&memory, &stored].map(|split| {
        let config = ObjectiveConfig { batch: 100, ..ObjectiveConfig::default() };
        let (loss, moments) = (Loss::default(), Some(&moments));
        ModelObjective::new(&ctx, &model, loss, &split.train, moments, &config).unwrap()
    });
    let places = [7, 700, 3, 7];
    assert_eq!(a.data_at(&places).unwrap(), b.data_at(&places).unwrap());
    let all = Objective::batches(&a).iter().sum();
    for objective in [&a, &b] {
        let beyond = objective.data_at(&[0, all]).unwrap_err().to_string();
        assert_eq!(beyond, format!("an example: expected one below {all}, got {all}"));
    }
    read.store(0, Ordering::Relaxed);
    let noise = |objective| {
        let config = BatchGradientsConfig { m: 5, batches: 3 };
        format!("{:?}", gradient_noise_scale(&ctx, objective, &point, &config).unwrap())
    };
    assert_eq!(noise(&a), noise(&b));
    let rise = |objective| {
        let config = MSharpnessConfig { m: 4, batches: Some(2), ..MSharpnessConfig::default() };
        m_sharpness(&ctx, objective, &point, &config).unwrap()
    };
    assert_eq!(rise(&a), rise(&b));
    // Those of the batches, and some once more for their shapes: nothing like all of them.
    let so_far = read.swap(0, Ordering::Relaxed);
    assert!(so_far < 100, "{so_far} rows");
    let of_class = |objective| {
        let scope = Scope { examples: ExampleGroup::Class(3), ..Scope::default() };
        let matrix = CurvatureMatrix::Hessian;
        let found = Curvature::new(&ctx, objective, &point, matrix, &scope).unwrap();
        let ones = vec![1.0; model.parameter_count()];
        (found.examples(), found.members(), LinearOperator::product(&found, &ones).unwrap())
    };
    let (of_memory, of_stored) = (of_class(&a), of_class(&b));
    assert_eq!(of_memory, of_stored);
    let so_far = read.swap(0, Ordering::Relaxed);
    assert!(so_far <= 4 * of_stored.0, "{so_far} rows of {} examples", of_stored.0);
    let surface = |objective| {
        let config = DirectionConfig::default();
        let planes = random_planes(&ctx, objective, &point, &config, 1, false).unwrap();
        let x = GridRange::new(-1.0, 1.0, 9).unwrap().values();
        let tolerance = Tolerance::new(0.1).unwrap();
        adaptive_surface(&ctx, objective, &point, &planes, &x, &[0.0], tolerance).unwrap()
    };
    assert_eq!(surface(&a), surface(&b));
}
