use super::*;
use crate::common::{DenseOperator, vector};
use thalweg_data::Stream;
use thalweg_exec::Executor;

/// What is read of pairs of all examples.
fn shown(found: &Eigenpairs) -> Vec<Quantity> {
    Lanczos::quantities(&OnSample { found: found.clone(), terms: Vec::new() })
}

/// A matrix with planted eigenvalues: a product of reflections around a diagonal.
fn planted(values: &[f64]) -> DenseOperator {
    let n = values.len();
    let stream = Stream::new(1, "planted");
    let mut rows: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| if i == j { values[i] } else { 0.0 }).collect()).collect();
    for reflection in 0..3 {
        let mut u: Vec<f64> = (0..n).map(|i| stream.at(reflection).normal(i as u64)).collect();
        let length = vector::norm(&u);
        vector::scale(&mut u, 1.0 / length);
        for _ in 0..2 {
            for row in &mut rows {
                let along = vector::dot(row, &u);
                vector::add_scaled(row, -2.0 * along, &u);
            }
            rows = (0..n).map(|i| rows.iter().map(|row| row[i]).collect()).collect();
        }
    }
    DenseOperator::new(rows).unwrap()
}

#[test]
fn planted_ends_are_found_through_restarts() {
    let mut values: Vec<f64> = (0..200).map(|i| (f64::from(i) / 200.0).powi(3)).collect();
    values[0] = -0.3;
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 3);
    let config = LanczosConfig { top: 4, bottom: 1, tolerance: 1e-7, max_products: 600 };
    let found = lanczos(&ctx, &planted(&values), &config).unwrap();
    assert!(found.converged && found.products > 40, "{}", found.products);
    for (i, pair) in found.top.iter().enumerate() {
        assert!((pair.value - values[199 - i]).abs() < 1e-10);
        assert!((vector::norm(&pair.vector) - 1.0).abs() < 1e-12);
    }
    assert!((found.bottom[0].value - values[0]).abs() < 1e-7);
}

#[test]
fn a_whole_spectrum_with_multiple_eigenvalues_is_found() {
    let mut values = vec![0.0; 9];
    values.extend([1.0, 1.0, 5.0]);
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let config = LanczosConfig { top: 12, tolerance: 1e-12, ..LanczosConfig::default() };
    let found = lanczos(&ctx, &planted(&values), &config).unwrap();
    for (pair, value) in found.top.iter().zip(values.iter().rev()) {
        assert!((pair.value - value).abs() < 1e-12, "{} {value}", pair.value);
    }
}

#[test]
fn a_basis_beyond_the_memory_is_told_before_it_is_made() {
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0).with_memory(24 * 8 * 100 - 1);
    let values: Vec<f64> = (0..100).map(f64::from).collect();
    let config = LanczosConfig { top: 1, max_products: 24, ..LanczosConfig::default() };
    let message = lanczos(&ctx, &planted(&values), &config).unwrap_err().to_string();
    assert!(message.starts_with("a basis of 24 vectors of 100 elements needs"), "{message}");
    let fewer = LanczosConfig { max_products: 23, ..config };
    assert!(lanczos(&ctx, &planted(&values), &fewer).is_ok());
}

#[test]
fn running_out_of_products_is_a_status() {
    let values: Vec<f64> = (0..100).map(f64::from).collect();
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let config = LanczosConfig { top: 2, bottom: 0, tolerance: 1e-12, max_products: 5 };
    let found = lanczos(&ctx, &planted(&values), &config).unwrap();
    assert!(!found.converged);
    assert_eq!(found.products, 5);
    assert!(found.top[0].residual > 1.0 && found.top[0].value < 99.0);
}

/// Of each value so many.
fn copies(of: &[(f64, usize)]) -> Vec<f64> {
    of.iter().flat_map(|&(value, count)| vec![value; count]).collect()
}

/// A bulk below one, of both signs, with what stands out of it.
fn bulk(n: usize, beside: &[(f64, usize)]) -> Vec<f64> {
    let mut values: Vec<f64> = (0..n).map(|i| (f64::from(i as u32) * 0.7).sin()).collect();
    values.extend(copies(beside));
    values
}

/// Both ends of a planted matrix, with their residuals by products.
fn assert_found(values: &[f64], config: &LanczosConfig, seed: u64) -> Eigenpairs {
    let (executor, matrix) = (Executor::new(1), planted(values));
    let found = lanczos(&Context::new(&executor, seed), &matrix, config).unwrap();
    assert_right(values, &matrix, &found);
    found
}

fn assert_right(values: &[f64], matrix: &DenseOperator, found: &Eigenpairs) {
    assert!(found.converged, "{} products", found.products);
    let mut ascending = values.to_vec();
    ascending.sort_by(f64::total_cmp);
    let bottom = found.bottom.iter().zip(&ascending);
    for (pair, value) in found.top.iter().zip(ascending.iter().rev()).chain(bottom) {
        assert!((pair.value - value).abs() < found.within, "{} {value}", pair.value);
        let mut image = matrix.product(&pair.vector).unwrap();
        vector::add_scaled(&mut image, -pair.value, &pair.vector);
        assert!((vector::norm(&image) - pair.residual).abs() < 1e-10, "{value}");
    }
}

/// With a loose tolerance the second pair converges first wherever the start has little of the first.
#[test]
fn the_largest_is_not_passed_over_for_the_second() {
    let mut values: Vec<f64> = (0..300).map(|i| 0.5 * f64::from(i) / 300.0).collect();
    values.extend([0.9, 1.0]);
    let (executor, matrix) = (Executor::new(1), planted(&values));
    let config = LanczosConfig { top: 1, tolerance: 0.05, ..LanczosConfig::default() };
    for seed in 0..1000 {
        let found = lanczos(&Context::new(&executor, seed), &matrix, &config).unwrap();
        assert!(found.converged && found.top[0].value > 0.95, "{seed}: {:?}", found.top[0].value);
    }
}

/// One vector's products show one eigenvector of each eigenvalue.
#[test]
fn multiple_eigenvalues_are_found_as_often_as_they_are() {
    let each: Vec<(f64, usize)> = (0..8).map(|i| (f64::from(i) - 2.5, 10)).collect();
    let config = LanczosConfig { top: 5, bottom: 3, tolerance: 1e-6, ..LanczosConfig::default() };
    for seed in 0..20 {
        // A (x) I.
        let found = assert_found(&copies(&each), &config, seed);
        assert!(found.top.iter().all(|pair| (pair.value - 4.5).abs() < 1e-5));
        let some = bulk(100, &[(10.0, 3), (9.0, 2), (8.0, 1), (-4.0, 2), (-3.0, 5)]);
        assert_found(&some, &LanczosConfig { top: 6, ..config }, seed);
        // One of a rank of twenty.
        let low: Vec<f64> = (0..120).map(|i| f64::from((i - 99).max(0))).collect();
        assert_found(&low, &LanczosConfig { top: 0, ..config }, seed);
    }
}

/// A basis of so few vectors is full before anything is found, and before a look for copies ends.
#[test]
fn multiple_eigenvalues_are_found_through_restarts() {
    let mut values: Vec<f64> = (0..200).map(|i| (f64::from(i) / 200.0).powi(3)).collect();
    values.extend([values[199], values[199], values[198], -0.3, -0.3]);
    let (executor, matrix) = (Executor::new(1), planted(&values));
    let config = LanczosConfig { top: 5, bottom: 2, tolerance: 1e-5, max_products: 5000 };
    for seed in 0..3 {
        let ctx = Context::new(&executor, seed);
        let found = iterate(&ctx, &matrix, &config, None, 24).unwrap();
        assert_right(&values, &matrix, &found);
        assert!(found.products > 4 * 24, "{}", found.products);
    }
}

#[test]
fn a_look_that_finds_nothing_takes_few_products() {
    let outside: Vec<(f64, usize)> = (0..10).map(|i| (10.0 + 3.0 * f64::from(i), 1)).collect();
    let values = bulk(190, &outside);
    let config = LanczosConfig { top: 10, ..LanczosConfig::default() };
    let found = assert_found(&values, &config, 0);
    // Where each product but the last that are looked with is needed, and then one is missing.
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let with = |max_products: usize| {
        lanczos(&ctx, &planted(&values), &LanczosConfig { max_products, ..config }).unwrap()
    };
    let early = with(found.products - 1);
    assert!(!early.converged && early.top == found.top, "the pairs stay as they are");
    let fewest = (1..found.products).rev().find(|&n| n > 10 && with(n).top != found.top).unwrap();
    let looks = found.products - fewest - 1;
    assert!((3..=8).contains(&looks), "{looks} of {}", found.products);
    // An extreme eigenvalue has no copy that it could be, and the others read nothing.
    let read = shown(&early);
    assert_eq!(read[0].value.number(), found.top[0].value);
    assert!(read[1..].iter().all(|other| other.value.number().is_nan()));
    assert!(shown(&found).iter().all(|other| other.value.number().is_finite()));
    let alone = LanczosConfig { top: 1, bottom: 1, ..config };
    assert!(lanczos(&ctx, &planted(&values), &alone).unwrap().converged);
}

#[test]
fn how_far_the_largest_stands_out_is_read_where_five_are_known() {
    let rows =
        (0..8).map(|i| (0..8).map(|j| if i == j { f64::from(8 - i) } else { 0.0 }).collect());
    let matrix = DenseOperator::new(rows.collect()).unwrap();
    let executor = Executor::new(1);
    let ctx = Context::new(&executor, 0);
    let ratio = |config: LanczosConfig| {
        let found = lanczos(&ctx, &matrix, &config).unwrap();
        let name = "largest eigenvalue over the fifth";
        let quantities = shown(&found);
        quantities.iter().find(|q| q.name == name).map(|q| q.value.number())
    };
    let usual = LanczosConfig::default();
    assert!((ratio(usual).unwrap() - 2.0).abs() < 1e-12);
    assert!(ratio(LanczosConfig { top: 4, ..usual }).is_none());
    let early = LanczosConfig { max_products: 6, tolerance: 1e-12, ..usual };
    assert!(ratio(early).is_some_and(f64::is_nan));
}
