//! What the arms of a check choose among, and how they choose.

use crate::bench::Bench;
use crate::check::Findings;
use crate::statistic::first_best;
use std::collections::BTreeMap;
use thalweg_lab::{LabError, Result};
use thalweg_train::Member;

/// A learning rate, and one more number of the optimizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// The rate.
    pub rate: f64,
    /// What the other number is, as the optimizer calls it.
    pub name: &'static str,
    /// The other number.
    pub value: f64,
}

impl Setting {
    /// Each rate with each other number.
    pub fn grid(rates: &[f64], name: &'static str, values: &[f64]) -> Vec<Setting> {
        let with = |&rate| values.iter().map(move |&value| Setting { rate, name, value });
        rates.iter().flat_map(with).collect()
    }

    /// A member that is trained with it.
    pub fn member(&self, seed: u64) -> Member {
        let hyper = BTreeMap::from([(self.name.to_owned(), self.value)]);
        Member { seed, lr: self.rate, hyper }
    }
}

/// What an arm chose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The setting.
    pub setting: Setting,
    /// Its mean accuracy on the validation part.
    pub accuracy: f64,
}

impl Choice {
    /// Of the settings the first whose mean accuracy over tuning seeds is the largest, computed once.
    ///
    /// `validated` trains members of a seed, one a setting, and gives the accuracy of each on the
    /// validation part.
    ///
    /// # Errors
    /// No settings or seeds; those of the training.
    pub fn of(
        bench: &Bench<'_>,
        arm: &str,
        settings: &[Setting],
        seeds: &[u64],
        validated: impl Fn(u64, &[Member]) -> Result<Vec<f64>>,
    ) -> Result<Choice> {
        let means = bench.numbers(&format!("tuning/{arm}"), || {
            let mut sums = vec![0.0; settings.len()];
            for &seed in seeds {
                let members: Vec<Member> =
                    settings.iter().map(|setting| setting.member(seed)).collect();
                let found = validated(seed, &members)?;
                sums.iter_mut().zip(found).for_each(|(sum, accuracy)| *sum += accuracy);
            }
            Ok(sums.into_iter().map(|sum| sum / seeds.len() as f64).collect())
        })?;
        let best = first_best(&means);
        match (settings.get(best), means.get(best)) {
            (Some(&setting), Some(&accuracy)) => Ok(Choice { setting, accuracy }),
            _ => Err(LabError::Input(format!("{arm}: expected at least one setting, got none"))),
        }
    }

    /// Tells what was chosen.
    pub fn read(&self, findings: &mut Findings, arm: &str) {
        findings.read(format!("rate chosen for {arm}"), self.setting.rate);
        let name = self.setting.name.replace('_', " ");
        findings.read(format!("{name} chosen for {arm}"), self.setting.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_every_pair() {
        let grid = Setting::grid(&[0.1, 0.2], "weight_decay", &[0.0, 1e-3]);
        let pairs: Vec<(f64, f64)> = grid.iter().map(|of| (of.rate, of.value)).collect();
        assert_eq!(pairs, [(0.1, 0.0), (0.1, 1e-3), (0.2, 0.0), (0.2, 1e-3)]);
        let member = grid[1].member(7);
        assert_eq!((member.seed, member.lr), (7, 0.1));
        assert_eq!(member.hyper, BTreeMap::from([("weight_decay".to_owned(), 1e-3)]));
        let mut findings = Findings::default();
        Choice { setting: grid[3], accuracy: 0.5 }.read(&mut findings, "an arm");
        let names: Vec<&str> = findings.readings.iter().map(|of| of.name.as_str()).collect();
        assert_eq!(names, ["rate chosen for an arm", "weight decay chosen for an arm"]);
    }
}
