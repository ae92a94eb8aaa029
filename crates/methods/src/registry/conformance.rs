//! What every instrument must do, run over the registry.

use super::*;
use crate::Function;
use std::collections::HashSet;
use thalweg_exec::Executor;
use thalweg_graph::DType;

pub(super) trait Check {
    fn instrument<I: Instrument>(&mut self);
}

/// A smooth function without symmetry, at a point that is not stationary.
fn landscape() -> (Function, Weights) {
    let function = Function::new(DType::F64, &[("w", &[3, 2]), ("b", &[2])], |_, w| {
        let y = (w[0].square().sum(&[0]) + w[1]).tanh();
        y.square().sum_all() + (w[0] * 0.3).exp().sum_all() + w[1].square().sum_all() * 2.0
    });
    let point = function.point(&[0.5, -0.3, 0.1, 0.8, -0.6, 0.2, 0.4, -0.7]).unwrap();
    (function, point)
}

struct Run {
    executor: [Executor; 2],
    known: HashSet<&'static str>,
}

impl Check for Run {
    fn instrument<I: Instrument>(&mut self) {
        let id = I::ID;
        assert!(self.known.insert(id), "{id} is there twice");
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(!id.is_empty() && id.chars().all(is_word), "{id}");
        assert!(I::SUMMARY.len() > 10 && !I::SUMMARY.ends_with('.'), "{id}: {}", I::SUMMARY);
        assert!(I::SOURCE.chars().any(|c| c.is_ascii_digit()), "{id}: a source has a year");
        let (function, point) = landscape();
        let measure = |executor: usize, seed: u64, config: &I::Config| {
            let ctx = Context::new(&self.executor[executor], seed).with_precision(DType::F64);
            I::measure(&ctx.unwrap(), &function, &point, config)
        };
        // NaN is not equal to itself, and no reading here is NaN.
        let reading = measure(0, 1, &I::Config::default()).unwrap();
        assert_eq!(reading, measure(1, 1, &I::Config::default()).unwrap(), "{id} is deterministic");
        assert!(!format!("{reading:?}").contains("NaN"), "{id}: {reading:?}");
        assert!(!I::refused().is_empty(), "{id} refuses nothing");
        for config in I::refused() {
            match measure(0, 1, &config) {
                Err(MethodError::Config { what, expected, got }) => {
                    assert!(!what.is_empty() && !expected.is_empty() && !got.is_empty(), "{id}");
                }
                other => panic!("{id} with {config:?}: {other:?}"),
            }
        }
        let wrong = Function::new(DType::F64, &[("v", &[3])], |_, w| w[0].sum_all());
        let ctx = Context::new(&self.executor[0], 0);
        let elsewhere = wrong.point(&[0.0; 3]).unwrap();
        assert!(
            I::measure(&ctx, &function, &elsewhere, &I::Config::default()).is_err(),
            "{id} takes another model's weights"
        );
    }
}

#[test]
fn every_instrument_conforms() {
    let mut run = Run { executor: [1, 2].map(Executor::new), known: HashSet::new() };
    conform(&mut run);
    assert_eq!(run.known.len(), INSTRUMENTS.len());
}
