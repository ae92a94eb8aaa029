//! The pictures, as they are and shifted, and how far each shifted set is.

use super::{CLASSES, sizes};
use crate::bench::Bench;
use crate::check::Scale;
use crate::images::{clothes, digits_instead, mnist};
use crate::pictures::Pictures;
use thalweg_data::{Corruption, Stream};
use thalweg_lab::Result;
use thalweg_methods::dynamics::{OodScoreConfig, ood_score, random_convolution_features};

/// How many of `n` examples each class has: frequencies fall geometrically from the first to the last.
pub(super) fn unequal(n: usize) -> Vec<usize> {
    let ratio = (0.03f64 / 0.22).powf(1.0 / 9.0);
    let shares: Vec<f64> = (0..CLASSES as i32).map(|class| ratio.powi(class)).collect();
    let all: f64 = shares.iter().sum();
    shares.iter().map(|share| (share / all * n as f64).round() as usize).collect()
}

/// A shifted set.
pub(super) struct Cell {
    pub(super) name: String,
    /// The corruption, if it is one.
    pub(super) corruption: Option<Corruption>,
    pub(super) pictures: Pictures,
    pub(super) score: f64,
}

/// All that is read and trained on.
pub(super) struct Data {
    pub(super) train: Pictures,
    pub(super) test: Pictures,
    pub(super) cells: Vec<Cell>,
}

pub(super) fn data(bench: &Bench<'_>) -> Result<Data> {
    let sizes = sizes(bench.scale());
    let whole = bench.scale() == Scale::Whole;
    // As many of each class as the most frequent has, in three parts.
    let most = |n: usize| 10 * unequal(n)[0];
    let [train_pool, test_pool] = match whole {
        true => clothes(most(sizes.train), 2 * most(sizes.test))?,
        false => digits_instead(900, 897)?,
    };
    let draws = Stream::new(0, "papers/unequal classes");
    let [train, _] = train_pool.drawn(&unequal(sizes.train), &draws.child("train"));
    let [test, validation] = test_pool.drawn(&unequal(sizes.test), &draws.child("test"));
    let mut cells = Vec::new();
    let stream = Stream::new(0, "papers/corruptions");
    for corruption in Corruption::ALL {
        for severity in 1..=sizes.severities {
            let draws = stream.child(corruption.name()).at(severity as u64);
            let pictures = test.corrupted(corruption, severity, &draws)?;
            let name = format!("{} {severity}", corruption.name());
            cells.push(Cell { name, corruption: Some(corruption), pictures, score: f64::NAN });
        }
    }
    let mut other = |name: &str, pictures: Pictures| {
        cells.push(Cell { name: name.into(), corruption: None, pictures, score: f64::NAN });
    };
    match whole {
        true => {
            other("digits", digits_instead(sizes.test, 1)?[0].resized(sizes.side)?);
            other("MNIST", mnist(sizes.test)?);
        }
        false => {
            let some = test_pool.within(0..sizes.test);
            let pixels = some.pixels.iter().map(|pixel| 1.0 - pixel).collect();
            other("negatives", Pictures { pixels, ..some });
        }
    }
    let scores = bench.numbers("scores", || {
        let filters = Stream::new(0, "papers/filters");
        let features = |pictures: &Pictures| {
            let each = (0..pictures.len()).map(|i| pictures.picture(i));
            random_convolution_features(each, [pictures.side; 2], sizes.filters, &filters)
        };
        let config = OodScoreConfig { fits: sizes.fits, ..OodScoreConfig::default() };
        let inside = features(&validation)?;
        bench.each("scores of shifted sets", &cells, |cell| {
            let draws = Stream::new(0, "papers/scores").child(&cell.name);
            Ok(ood_score(&inside, &features(&cell.pictures)?, &config, &draws)?)
        })
    })?;
    cells.iter_mut().zip(scores).for_each(|(cell, score)| cell.score = score);
    Ok(Data { train, test, cells })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_fall_from_a_fifth_to_a_thirtieth() {
        let counts = unequal(6000);
        assert!(counts.iter().sum::<usize>().abs_diff(6000) <= 5);
        assert!((counts[0] as f64 / 6000.0 - 0.223).abs() < 1e-3);
        assert!((counts[9] as f64 / 6000.0 - 0.0304).abs() < 1e-3);
        assert!(counts.windows(2).all(|pair| pair[0] > pair[1]));
    }
}
