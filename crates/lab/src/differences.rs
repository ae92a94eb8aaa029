//! How models differ in what instruments say of them.

use crate::error::Result;
use thalweg_methods::MethodError;
use thalweg_methods::common::SampleTerms;
use thalweg_methods::registry::{Over, Quantity as Read, Value};
use thalweg_record::{Difference, Estimate, Sampled};
use thalweg_stats::{StatsError, compare_paired, holm, student_t_cdf};

/// The differences of each two models in each quantity of an instrument: the later less the earlier,
/// real where Holm's adjusted probability is below the level.
///
/// # Errors
/// None for what instruments give.
pub(crate) fn differences(
    names: &[String],
    rows: &[(&str, Vec<&Read>)],
    level: f64,
) -> Result<Vec<Difference>> {
    let mut found = Vec::new();
    for (instrument, reads) in rows {
        for (i, (first, first_name)) in reads.iter().zip(names).enumerate() {
            for (second, second_name) in reads.iter().zip(names).skip(i + 1) {
                found.push(Difference {
                    instrument: (*instrument).to_owned(),
                    name: first.name.clone(),
                    first: first_name.clone(),
                    second: second_name.clone(),
                    ..of_pair(first, second)?
                });
            }
        }
    }
    let tested: Vec<usize> = (0..found.len()).filter(|&i| found[i].p.is_some()).collect();
    let p: Vec<f64> = tested.iter().filter_map(|&i| found[i].p).collect();
    for (&i, adjusted) in tested.iter().zip(holm(&p).map_err(MethodError::from)?) {
        found[i].p_adjusted = Some(adjusted);
        found[i].real = Some(adjusted < level);
    }
    Ok(found)
}

/// The difference of two readings of one quantity, without names.
fn of_pair(first: &Read, second: &Read) -> Result<Difference> {
    let value = second.value.number() - first.value.number();
    let plain = Difference {
        instrument: String::new(),
        name: String::new(),
        first: String::new(),
        second: String::new(),
        difference: value.into(),
        over: None,
        p: None,
        p_adjusted: None,
        real: None,
    };
    if !value.is_finite() {
        return Ok(plain);
    }
    let with = |over: Sampled, standard_error: f64, samples: usize, p: f64| {
        let difference = Estimate { value, standard_error, samples: samples as u64 }.into();
        Difference { difference, over: Some(over), p: Some(p), ..plain.clone() }
    };
    let of_sample = of_sample(first, second);
    if let (Some(one), Some(other)) = (&first.terms, &second.terms)
        && one.over == other.over
        && one.values.len() == other.values.len()
    {
        match compare_paired(&other.values, &one.values, 0.95) {
            Ok(paired) => {
                let over = match (one.over, of_sample) {
                    (Over::Examples, _) => Sampled::Examples,
                    (Over::Draws, None) => Sampled::Draws,
                    (Over::Draws, Some(_)) => Sampled::Both,
                };
                let estimate = paired.difference;
                // What terms do not show of either, and what they do not show of the difference.
                let beside = one.beside.hypot(other.beside).hypot(of_sample.unwrap_or(0.0));
                let error = estimate.standard_error.hypot(beside);
                let p = match beside > 0.0 {
                    true => probability(value, error, estimate.samples)?,
                    false => paired.p_two_sided,
                };
                return Ok(with(over, error, estimate.samples, p));
            }
            // A single term has no error; a term that is not finite leaves the values' own errors.
            Err(StatsError::TooFew { .. } | StatsError::NotFinite { .. }) => {}
            Err(error) => return Err(MethodError::from(error).into()),
        }
    }
    let (Value::Estimated(one), Value::Estimated(other)) = (&first.value, &second.value) else {
        return Ok(plain);
    };
    // What draws of their own leave open of each.
    let drawn = [(first, one), (second, other)].map(|(read, estimate)| {
        let rest = estimate.standard_error.powi(2) - own_sample(read).powi(2);
        // `max` would make zero of what is not a number.
        if rest < 0.0 { 0.0 } else { rest.sqrt() }
    });
    let error = drawn[0].hypot(drawn[1]).hypot(of_sample.unwrap_or(0.0));
    // The smaller number of samples, which makes the interval wider rather than narrower.
    let samples = one.samples.min(other.samples);
    if !error.is_finite() || samples < 2 {
        return Ok(plain);
    }
    let over = match of_sample.is_some() && drawn == [0.0; 2] {
        true => Sampled::Examples,
        false => Sampled::Unpaired,
    };
    Ok(with(over, error, samples, probability(value, error, samples)?))
}

/// What the choice of the sample leaves open of a difference, example by example; none where all
/// examples were taken.
fn of_sample(first: &Read, second: &Read) -> Option<f64> {
    let unpaired = || own_sample(first).hypot(own_sample(second));
    match (&first.sample, &second.sample) {
        (None, None) => None,
        (Some(one), Some(other)) => {
            let apart = other.combined(1.0, one, -1.0);
            Some(apart.map_or_else(unpaired, |apart| apart.standard_error()))
        }
        _ => Some(unpaired()),
    }
}

/// What it leaves open of a reading.
fn own_sample(read: &Read) -> f64 {
    read.sample.as_ref().map_or(0.0, SampleTerms::standard_error)
}

/// That of a value so far from zero or farther, if zero is the truth, by Student's t.
fn probability(value: f64, error: f64, samples: usize) -> Result<f64> {
    Ok(match (value == 0.0, error == 0.0) {
        (true, _) => 1.0,
        (false, true) => 0.0,
        (false, false) => {
            let below = student_t_cdf(-value.abs() / error, (samples - 1) as f64);
            (2.0 * below.map_err(MethodError::from)?).min(1.0)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(name: &str, over: Over, values: &[f64]) -> Read {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Read::exact(name, mean).with_terms(over, values)
    }

    fn names(n: usize) -> Vec<String> {
        ["a", "b", "c"][..n].iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn paired_terms_see_what_values_alone_do_not() {
        // Terms that vary by tens, and differ by about one.
        let a: Vec<f64> = (0..30).map(|i| f64::from(i * i % 31)).collect();
        let b: Vec<f64> =
            a.iter().enumerate().map(|(i, x)| x + 1.0 + 0.1 * (i % 3) as f64).collect();
        let (first, second) =
            (terms("loss", Over::Examples, &a), terms("loss", Over::Examples, &b));
        let rows = [("loss", vec![&first, &second])];
        let found = differences(&names(2), &rows, 0.05).unwrap();
        assert_eq!(found.len(), 1);
        assert!((found[0].difference.value() - 1.1).abs() < 1e-12);
        assert!(found[0].difference.standard_error().unwrap() < 0.02);
        assert_eq!((found[0].over, found[0].real), (Some(Sampled::Examples), Some(true)));
        assert_eq!((found[0].first.as_str(), found[0].second.as_str()), ("a", "b"));
        let unpaired = |values: &[f64]| {
            Read::estimated("loss", thalweg_stats::Estimate::mean(values).unwrap())
        };
        let (first, second) = (unpaired(&a), unpaired(&b));
        let rows = [("loss", vec![&first, &second])];
        let found = differences(&names(2), &rows, 0.05).unwrap();
        assert_eq!((found[0].over, found[0].real), (Some(Sampled::Unpaired), Some(false)));
    }

    /// A quadrature's own error is the same for all probes, so that pairing them does not show it.
    #[test]
    fn what_terms_do_not_show_is_added_in_squares() {
        let a: Vec<f64> = (0..10).map(|i| f64::from(i * i % 7)).collect();
        let b: Vec<f64> =
            a.iter().enumerate().map(|(i, x)| x + 1.0 + 0.1 * (i % 2) as f64).collect();
        let found = |beside: [f64; 2]| {
            let [first, second] = [(&a, beside[0]), (&b, beside[1])]
                .map(|(of, beside)| terms("sum", Over::Draws, of).with_error_beside(beside));
            let rows = [("log_determinant", vec![&first, &second])];
            differences(&names(2), &rows, 0.05).unwrap().remove(0)
        };
        let (plain, some, much) = (found([0.0; 2]), found([0.03, 0.04]), found([3.0, 4.0]));
        let error = |of: &Difference| of.difference.standard_error().unwrap();
        assert!((error(&some) - error(&plain).hypot(0.05)).abs() < 1e-15);
        assert!(plain.p < some.p && some.p < much.p, "{plain:?} {some:?} {much:?}");
        assert_eq!([&plain, &some, &much].map(|of| of.real), [Some(true), Some(true), Some(false)]);
        assert_eq!(much.over, Some(Sampled::Draws));
    }

    /// What examples contributed to an eigenvalue belongs together one by one, and its error stands
    /// beside that of probes.
    #[test]
    fn the_choice_of_a_sample_is_paired() {
        let a: Vec<f64> = (0..30).map(|i| f64::from(i * i % 31)).collect();
        let b: Vec<f64> =
            a.iter().enumerate().map(|(i, x)| x + 1.0 + 0.1 * (i % 3) as f64).collect();
        let [one, other] =
            [&a, &b].map(|of| SampleTerms::new(vec![of.clone()], &[((0..30).collect(), 1 << 52)]));
        let paired = other.combined(1.0, &one, -1.0).unwrap().standard_error();
        let read = |value: f64, of: &SampleTerms| Read::exact("e", value).with_sample(Some(of));
        let of = |first: &Read, second: &Read| {
            differences(&names(2), &[("lanczos", vec![first, second])], 0.05).unwrap().remove(0)
        };
        let found = of(&read(2.0, &one), &read(3.1, &other));
        assert_eq!(found.difference.standard_error(), Some(paired));
        assert_eq!((found.over, found.real), (Some(Sampled::Examples), Some(true)));
        assert!(one.standard_error() > 10.0 * paired);
        // Another sample, or all examples, of the second: both errors.
        let fewer = SampleTerms::new(vec![a[..20].to_vec()], &[((0..20).collect(), 1 << 52)]);
        let found = of(&read(2.0, &one), &read(3.1, &fewer));
        let both = one.standard_error().hypot(fewer.standard_error());
        assert!((found.difference.standard_error().unwrap() - both).abs() < 1e-12, "{found:?}");
        assert!(of(&read(2.0, &one), &Read::exact("e", 3.1)).over.is_none());
        // Of a trace the draws are paired as well.
        let draws = |by: f64| -> Vec<f64> { (0..8).map(|i| f64::from(i) * by).collect() };
        let trace = |draws: &[f64], of: &SampleTerms| {
            let estimate = thalweg_stats::Estimate::mean(draws).unwrap();
            Read::estimated("t", estimate).with_terms(Over::Draws, draws).with_sample(Some(of))
        };
        let found = of(&trace(&draws(1.0), &one), &trace(&draws(1.5), &other));
        // Half of 0 to 7, whose standard deviation is the square root of 6.
        let expected = (0.25 * 6.0f64 / 8.0).sqrt().hypot(paired);
        assert!((found.difference.standard_error().unwrap() - expected).abs() < 1e-12);
        assert_eq!(found.over, Some(Sampled::Both));
        // Without terms draws are not.
        let own = |value: f64, of: &SampleTerms| {
            let (standard_error, samples) = (0.3, 9);
            let estimate = thalweg_stats::Estimate { value, standard_error, samples };
            Read::estimated("t", estimate).with_sample(Some(of))
        };
        let found = of(&own(1.0, &one), &own(2.0, &other));
        let expected = 0.3f64.hypot(0.3).hypot(paired);
        assert!((found.difference.standard_error().unwrap() - expected).abs() < 1e-9);
        assert_eq!(found.over, Some(Sampled::Unpaired));
    }

    #[test]
    fn chance_is_called_real_rarely_and_exact_numbers_never() {
        let stream = thalweg_data::Stream::new(4, "noise");
        let mut false_alarms = 0;
        for trial in 0..200u64 {
            let noise = |model: u64| -> Vec<f64> {
                (0..20).map(|i| stream.at(trial).at(model).normal(i)).collect()
            };
            let reads: Vec<Read> =
                (0..3).map(|model| terms("trace", Over::Draws, &noise(model))).collect();
            let found =
                differences(&names(3), &[("hutchinson", reads.iter().collect())], 0.05).unwrap();
            assert_eq!(found.len(), 3);
            false_alarms += usize::from(found.iter().any(|d| d.real == Some(true)));
        }
        // At most ten expected; three binomial standard deviations are nine.
        assert!((1..=19).contains(&false_alarms), "{false_alarms}");
        let (one, other) = (Read::exact("eigenvalue", 1.0), Read::exact("eigenvalue", 3.5));
        let found = differences(&names(2), &[("lanczos", vec![&one, &other])], 0.05).unwrap();
        assert_eq!(found[0].difference, 2.5.into());
        assert_eq!((found[0].over, found[0].p, found[0].real), (None, None, None));
        let broken = Read::exact("eigenvalue", f64::NAN);
        let found = differences(&names(2), &[("lanczos", vec![&one, &broken])], 0.05).unwrap();
        assert!(!found[0].difference.is_finite() && found[0].p.is_none());
    }
}
