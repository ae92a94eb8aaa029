//! Fewer examples: so many of each class, or classes made rare.

use crate::{DataError, Stream, Subset, Train};

/// How rare to make classes, as the ratio of the largest to the smallest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Imbalance {
    /// Class `c` of `C` keeps the share `ratio^(-c / (C - 1))` of its examples.
    ///
    /// # Source    Cui, Jia, Lin, Song, Belongie, Class-balanced loss, 2019
    Exponential {
        /// Share kept of the first class over that of the last; at least 1.
        ratio: f64,
    },
    /// The last classes keep the share `1 / ratio` of their examples, the others keep all.
    ///
    /// # Source    Buda, Maki, Mazurowski, A systematic study of the class imbalance problem, 2018
    Step {
        /// Share kept of a frequent class over that of a rare one; at least 1.
        ratio: f64,
        /// Share of the classes that become rare, rounded to whole classes.
        rare: f64,
    },
}

impl Train {
    /// `n` examples of each class, in the order of the part. A smaller `n` of the same stream
    /// gives a subset of a larger one.
    ///
    /// # Errors
    /// No classes, an `n` of zero, or a class with fewer examples.
    pub fn per_class(&self, n: usize, stream: &Stream) -> Result<Train, DataError> {
        let counts = classes(self, "so many examples of each class")?;
        if n == 0 {
            let (expected, got) = ("at least 1".to_string(), "0".to_string());
            return Err(DataError::Range { what: "examples of each class", expected, got });
        }
        if let Some(class) = counts.iter().position(|&have| have < n) {
            return Err(DataError::TooFew { class, asked: n, have: counts[class] });
        }
        Ok(keep(self, &vec![n; counts.len()], stream))
    }

    /// The part with some classes made rare; every class that occurs keeps at least one example.
    ///
    /// # Errors
    /// No classes, or a ratio or share out of range.
    pub fn imbalanced(&self, imbalance: Imbalance, stream: &Stream) -> Result<Train, DataError> {
        let counts = classes(self, "class imbalance")?;
        let (Imbalance::Exponential { ratio } | Imbalance::Step { ratio, .. }) = imbalance;
        if !(ratio.is_finite() && ratio >= 1.0) {
            return Err(DataError::Range {
                what: "the imbalance ratio",
                expected: "a finite number of at least 1".into(),
                got: ratio.to_string(),
            });
        }
        let n_classes = counts.len();
        let share = |class: usize| -> f64 {
            match imbalance {
                Imbalance::Exponential { ratio } => {
                    let steps = n_classes.saturating_sub(1).max(1) as f64;
                    libm::pow(ratio, -(class as f64) / steps)
                }
                Imbalance::Step { ratio, rare } => {
                    let n_rare = libm::round(rare * n_classes as f64) as usize;
                    if class + n_rare >= n_classes { 1.0 / ratio } else { 1.0 }
                }
            }
        };
        if let Imbalance::Step { rare, .. } = imbalance
            && !(0.0..=1.0).contains(&rare)
        {
            return Err(DataError::Range {
                what: "the share of rare classes",
                expected: "0 to 1".into(),
                got: rare.to_string(),
            });
        }
        let kept: Vec<usize> = (counts.iter().enumerate())
            .map(|(class, &have)| {
                (libm::round(have as f64 * share(class)) as usize).clamp(have.min(1), have)
            })
            .collect();
        Ok(keep(self, &kept, stream))
    }
}

fn classes(subset: &Subset, what: &'static str) -> Result<Vec<usize>, DataError> {
    subset.class_counts().ok_or_else(|| DataError::NeedsClasses {
        what,
        dataset: subset.dataset().name().to_string(),
    })
}

fn keep(part: &Train, counts: &[usize], stream: &Stream) -> Train {
    let labels = part.labels().unwrap_or_default();
    let mut kept = pick_per_class(&labels, counts, part.rows(), stream);
    kept.sort_unstable();
    Train::changed(part.keep(&kept))
}

/// `n` examples shared out over classes in proportion to their counts: exactly `n`, unless there
/// are fewer.
pub fn stratified_counts(counts: &[usize], n: usize) -> Vec<usize> {
    let n = n.min(counts.iter().sum());
    apportion(&counts.iter().map(|&c| c as f64).collect::<Vec<_>>(), n)
}

/// `n` things shared out in proportion to weights: whole parts first, the rest to the largest
/// remainders, ties to the first.
pub(crate) fn apportion(weights: &[f64], n: usize) -> Vec<usize> {
    let total: f64 = weights.iter().sum();
    if total <= 0.0 {
        return vec![0; weights.len()];
    }
    let exact = |w: f64| w * n as f64 / total;
    let mut parts: Vec<usize> = weights.iter().map(|&w| exact(w) as usize).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    let remainder = |i: usize| exact(weights[i]) - parts[i] as f64;
    order.sort_by(|&a, &b| remainder(b).total_cmp(&remainder(a)).then(a.cmp(&b)));
    let missing = n - parts.iter().sum::<usize>();
    order.iter().take(missing).for_each(|&i| parts[i] += 1);
    parts
}

/// Positions of `counts[c]` examples of each class `c`: those whose rows have the smallest draws.
pub(crate) fn pick_per_class(
    labels: &[i32],
    counts: &[usize],
    rows: &[usize],
    stream: &Stream,
) -> Vec<usize> {
    let mut keyed: Vec<(i32, u64, usize)> =
        (0..labels.len()).map(|p| (labels[p], stream.u64(rows[p] as u64), p)).collect();
    keyed.sort_unstable();
    let mut taken = vec![0; counts.len()];
    keyed.retain(|&(label, ..)| {
        let class = label as usize;
        taken[class] += 1;
        taken[class] <= counts[class]
    });
    keyed.into_iter().map(|(_, _, position)| position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Split, SplitConfig, digits};

    fn train() -> Train {
        Split::new(digits(), &SplitConfig::default()).unwrap().train
    }

    #[test]
    fn shares_add_up() {
        assert_eq!(apportion(&[1.0, 1.0, 1.0], 10), [4, 3, 3]);
        assert_eq!(apportion(&[0.0, 5.0], 3), [0, 3]);
        assert_eq!(stratified_counts(&[3, 1], 100), [3, 1]);
        assert_eq!(stratified_counts(&[0, 0], 5), [0, 0]);
    }

    #[test]
    fn so_many_of_each_class_are_nested() {
        let stream = Stream::new(0, "few");
        let five = train().per_class(5, &stream).unwrap();
        let ten = train().per_class(10, &stream).unwrap();
        assert_eq!(five.class_counts().unwrap(), [5; 10]);
        assert!(five.rows().iter().all(|row| ten.rows().contains(row)));
        assert!(matches!(train().per_class(1000, &stream), Err(DataError::TooFew { .. })));
        assert!(train().per_class(0, &stream).is_err());
    }

    #[test]
    fn classes_become_rare_as_asked() {
        let stream = Stream::new(0, "rare");
        let all = train().class_counts().unwrap();
        let long = train().imbalanced(Imbalance::Exponential { ratio: 100.0 }, &stream).unwrap();
        let counts = long.class_counts().unwrap();
        assert_eq!(counts[0], all[0]);
        assert_eq!(counts[9], (all[9] as f64 / 100.0).round() as usize);
        let step = train().imbalanced(Imbalance::Step { ratio: 10.0, rare: 0.3 }, &stream).unwrap();
        let counts = step.class_counts().unwrap();
        assert_eq!(counts[..7], all[..7]);
        assert_eq!(counts[7], (all[7] as f64 / 10.0).round() as usize);
        for bad in [
            Imbalance::Exponential { ratio: 0.5 },
            Imbalance::Exponential { ratio: f64::NAN },
            Imbalance::Step { ratio: 2.0, rare: 1.5 },
        ] {
            assert!(train().imbalanced(bad, &stream).is_err());
        }
    }
}
