//! Where the rarest classes vanish.

use super::{
    IMBALANCED, RATE, along_axes, config, descent, penalised, product_of_all, sizes, transposed,
};
use crate::bench::Bench;
use crate::check::Gate;
use thalweg_data::Stream;
use thalweg_lab::Result;
use thalweg_methods::common::vector;
use thalweg_methods::dynamics::{
    ClassCollapse, CollapseBranches, CollapseConfig, collapse_branches, collapse_fold,
    collapse_threshold, free_features,
};
use thalweg_train::Member;

/// Steps of the descents that keep or lose a class, which takes some hundreds.
pub(super) const SHORT: u64 = 1_000;
/// How far they start from where they are to stay.
const NOISE: f64 = 1e-3;
const ZERO: ClassCollapse = ClassCollapse { strength: 0.0, product: 0.0, feature: 0.0 };

/// Classes of 40, 20, 10, 10 under three matrices whose decay puts the two rarest at some multiple of the
/// threshold above which zero is better for them.
struct AtThreshold {
    problem: CollapseConfig,
    classes: Vec<CollapseBranches>,
}

impl AtThreshold {
    fn new(multiple: f64) -> Result<AtThreshold> {
        let (n, rarest) = (IMBALANCED.iter().sum(), IMBALANCED[3]);
        let unit = CollapseConfig { decay_weights: 1.0, ..config(3) };
        let cost = collapse_branches(rarest, n, &unit)?.cost;
        let decay_weights = multiple * collapse_threshold(3)? / cost;
        let problem = CollapseConfig { decay_weights, ..unit };
        let of = |&count: &usize| -> Result<CollapseBranches> {
            Ok(collapse_branches(count, n, &problem)?)
        };
        let classes = IMBALANCED.iter().map(of).collect::<Result<_>>()?;
        Ok(AtThreshold { problem, classes })
    }

    /// All classes away from zero, but for the two rarest, which are as they are said to be.
    fn with(
        &self,
        rarest: impl Fn(&CollapseBranches) -> Option<ClassCollapse>,
    ) -> Vec<ClassCollapse> {
        let class = |(k, of): (usize, &CollapseBranches)| {
            let found = if k < 2 { of.away } else { rarest(of) };
            found.unwrap_or(ZERO)
        };
        self.classes.iter().enumerate().map(class).collect()
    }

    /// What is left of the two rarest classes after a short descent from near some weights: singular values
    /// of the product of all matrices over those at the start.
    fn left(&self, bench: &Bench<'_>, key: &str, start: &[ClassCollapse]) -> Result<[f64; 2]> {
        let (width, _, _) = sizes(bench.scale());
        let model = free_features(80, width, 3, 4, false)?;
        let mut weights = along_axes(&model, &IMBALANCED, start)?;
        let stream = Stream::new(bench.root(), "papers/collapse");
        let mut flat = weights.parameters.flatten();
        flat.iter_mut().enumerate().for_each(|(i, w)| *w += NOISE * stream.normal(i as u64));
        weights.parameters = weights.parameters.unflatten(&flat)?;
        let trainer = descent(bench, &model, &IMBALANCED, &self.problem, SHORT)?;
        let members = [Member::new(bench.root(), RATE)];
        let ends = bench.train_from(key, &trainer, &members, &[weights])?;
        let map = match ends.first() {
            Some(end) => transposed(&product_of_all(&end.weights.parameters, 3)),
            None => Vec::new(),
        };
        let left = |k: usize| {
            map.get(k).map_or(f64::NAN, |column| vector::norm(column)) / start[k].product
        };
        Ok([left(2), left(3)])
    }
}

/// The rarest classes jump to zero where theory says, and descent stays away from it for longer.
pub(super) fn gates(bench: &Bench<'_>) -> Result<Vec<Gate>> {
    let (width, _, _) = sizes(bench.scale());
    let model = free_features(80, width, 3, 4, false)?;
    let (mut right, mut found) = (true, Vec::new());
    for multiple in [0.8, 0.95, 1.05, 1.2] {
        let at = AtThreshold::new(multiple)?;
        let value = |classes: &[ClassCollapse]| -> Result<f64> {
            let weights = along_axes(&model, &IMBALANCED, classes)?;
            Ok(penalised(bench, &model, &IMBALANCED, &weights, &at.problem)?.0)
        };
        let gain = value(&at.with(|of| of.away))? - value(&at.with(|_| None))?;
        right &= if multiple < 1.0 { gain < 0.0 } else { gain > 0.0 };
        found.push(format!("{gain:.1e} at {multiple}"));
    }
    let better = Gate::new(
        "the two rarest classes lower the objective below their threshold and raise it above",
        right,
        format!("{} times the threshold", found.join(", ")),
    );
    let below = AtThreshold::new(1.55)?;
    let stays = below.left(bench, "gate/1.55", &below.with(|of| of.away))?;
    let above = AtThreshold::new(1.65)?;
    let leaves = above.left(bench, "gate/1.65", &above.with(|of| of.fold))?;
    let fold = collapse_fold(3)? / collapse_threshold(3)?;
    let jump = Gate::new(
        "descent keeps the two rarest classes up to where their minimum ends, and no further",
        stays.iter().all(|share| (share - 1.0).abs() < 0.1)
            && leaves.iter().all(|share| *share < 0.01),
        format!(
            "{:.3} and {:.3} of them left at 1.55, {:.1e} and {:.1e} at 1.65 times the threshold; the end \
             is at {fold:.3}",
            stays[0], stays[1], leaves[0], leaves[1]
        ),
    );
    Ok(vec![better, jump])
}
