//! The table of a report, and numbers with their standard errors.

use crate::axis::{significant, superscript};
use crate::markup::escape;
use thalweg_record::{Eigenvalue, ModelReport, Quantity, Report, Spectrum};

/// A table of more rows scrolls in itself.
const TALL: usize = 16;

/// The table of all models: a row each, a column for every quantity that any of them has.
pub(crate) fn results(report: &Report) -> String {
    type Cell = fn(&ModelReport) -> Option<String>;
    let columns: [(&str, Cell); 8] = [
        ("Parameters", |m| Some(thousands(m.parameters))),
        ("Accuracy", |m| m.test_accuracy.map(percent)),
        ("Loss", |m| m.loss.map(quantity)),
        ("Largest eigenvalue", |m| {
            let first = m.spectrum.as_ref()?.top.first()?;
            Some(match first.sampling_error {
                Some(error) => with_error(first.value, error),
                None => significant(first.value, 4),
            })
        }),
        ("Trace", |m| m.trace().map(quantity)),
        // Beside sharpness and roughness the table would grow too wide.
        ("Frobenius norm, squared", |m| match m.sharpness {
            Some(_) => None,
            None => m.spectrum.as_ref()?.frobenius_squared.map(quantity),
        }),
        ("Sharpness", |m| m.sharpness.map(quantity)),
        ("Roughness", |m| m.roughness.map(quantity)),
    ];
    let shown: Vec<_> = columns
        .iter()
        .filter(|(_, cell)| report.models.iter().any(|model| cell(model).is_some()))
        .collect();
    let heads: String =
        shown.iter().map(|(name, _)| format!("<th scope=\"col\">{name}</th>")).collect();
    let mut rows = String::new();
    for model in &report.models {
        rows.push_str(&format!("<tr><th scope=\"row\">{}", escape(&model.name)));
        if !model.description.is_empty() {
            rows.push_str(&format!("<small>{}</small>", escape(&model.description)));
        }
        rows.push_str("</th>");
        for (_, cell) in &shown {
            let text = cell(model).unwrap_or_else(|| "–".to_owned());
            rows.push_str(&format!("<td>{text}</td>"));
        }
        rows.push_str("</tr>");
    }
    let tall = if report.models.len() > TALL { " class=\"tall\"" } else { "" };
    format!(
        "<table{tall}><thead><tr><th scope=\"col\">Model</th>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )
}

/// The eigenvalues found, their residuals and, where there are some, their sampling errors, two or three
/// columns for each model: the largest from the top, the smallest from the bottom.
pub(crate) fn eigenvalues(report: &Report) -> Option<String> {
    let models: Vec<_> = report
        .models
        .iter()
        .filter_map(|m| Some((&m.name, m.spectrum.as_ref()?)))
        .filter(|(_, s)| !s.top.is_empty() || !s.bottom.is_empty())
        .collect();
    models.first()?;
    let mut all = models.iter().flat_map(|(_, s)| s.top.iter().chain(&s.bottom));
    let sampled = all.any(|found| found.sampling_error.is_some());
    let heads = ["eigenvalue λ", "|Hv − λv|", "sampling error"];
    let heads = if sampled { &heads[..] } else { &heads[..2] };
    let n = heads.len();
    let names: String = models
        .iter()
        .map(|(name, _)| format!("<th scope=\"col\" colspan=\"{n}\">{}</th>", escape(name)))
        .collect();
    let kinds: String = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    let kinds = kinds.repeat(models.len());
    let row = |name: String, pick: &dyn Fn(&Spectrum) -> Option<Eigenvalue>| {
        let cells: String = models
            .iter()
            .flat_map(|(_, spectrum)| {
                let found = pick(spectrum);
                let cells = [
                    found.map(|found| significant(found.value, 5)),
                    found.map(|found| significant(found.residual, 2)),
                    found.and_then(|found| found.sampling_error).map(|e| significant(e, 2)),
                ];
                cells
                    .into_iter()
                    .take(n)
                    .map(|cell| format!("<td>{}</td>", cell.unwrap_or_default()))
            })
            .collect();
        format!("<tr><th scope=\"row\">{name}</th>{cells}</tr>")
    };
    let longest =
        |count: fn(&Spectrum) -> usize| models.iter().map(|(_, s)| count(s)).max().unwrap_or(0);
    let mut rows = String::new();
    for rank in 0..longest(|s| s.top.len()) {
        rows += &row((rank + 1).to_string(), &|s| s.top.get(rank).copied());
    }
    for rank in (0..longest(|s| s.bottom.len())).rev() {
        let name = if rank == 0 { "n".to_owned() } else { format!("n−{rank}") };
        rows += &row(name, &|s| s.bottom.get(rank).copied());
    }
    Some(format!(
        "<details><summary>All eigenvalues found, with residuals</summary><table><thead>\
         <tr><th scope=\"col\" rowspan=\"2\">rank</th>{names}</tr><tr>{kinds}</tr></thead>\
         <tbody>{rows}</tbody></table></details>"
    ))
}

fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.2} %", share * 100.0) } else { significant(share, 3) }
}

fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(crate) fn quantity(quantity: Quantity) -> String {
    match quantity {
        Quantity::Exact(value) => significant(value, 4),
        Quantity::Estimate(estimate) => format!(
            "{}<br><small>n = {}</small>",
            with_error(estimate.value, estimate.standard_error),
            thousands(estimate.samples)
        ),
    }
}

/// A value and its standard error to the same decimal: the error's second digit.
pub(crate) fn with_error(value: f64, error: f64) -> String {
    if !value.is_finite() || !error.is_finite() || error <= 0.0 {
        let value = significant(value, 4);
        return if error == 0.0 { format!("{value} ± 0") } else { value };
    }
    let exponent = |v: f64| -> i32 {
        let text = format!("{v:.1e}");
        text.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0)
    };
    let last = exponent(error) - 1;
    let lead = if value == 0.0 { exponent(error) } else { exponent(value.abs().max(error)) };
    let minus = |text: String| text.replace('-', "−");
    if (-3..6).contains(&lead) && last > -8 {
        let decimals = (-last).max(0) as usize;
        minus(format!("{value:.decimals$} ± {error:.decimals$}"))
    } else {
        let decimals = (lead - last).max(0) as usize;
        // Dividing by a power below one would lose the last digits of tiny numbers.
        let scale = |v: f64| if lead < 0 { v * 10f64.powi(-lead) } else { v / 10f64.powi(lead) };
        let (value, error) = (scale(value), scale(error));
        minus(format!("({value:.decimals$} ± {error:.decimals$})×10{}", superscript(lead)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_record::{Estimate, Provenance};

    #[test]
    fn a_value_ends_where_its_error_does() {
        assert_eq!(with_error(12.3456, 0.234), "12.35 ± 0.23");
        assert_eq!(with_error(-1234.5, 67.8), "−1234 ± 68");
        assert_eq!(with_error(6.312e-4, 2.51e-5), "(6.31 ± 0.25)×10⁻⁴");
        assert_eq!(with_error(9.61e7, 2.5e6), "(9.61 ± 0.25)×10⁷");
        assert_eq!(with_error(0.5, f64::NAN), "0.5");
        assert_eq!(with_error(0.0, 0.01), "0.000 ± 0.010");
        assert_eq!(with_error(1.0, 0.0), "1 ± 0");
    }

    #[test]
    fn only_what_was_measured_has_a_column() {
        let mut report = Report::new("t", "loss", Provenance::default());
        let estimate = Estimate { value: 2.0, standard_error: 0.1, samples: 1500 };
        report.models = vec![
            ModelReport {
                name: "<a>".into(),
                parameters: 1_234_567,
                test_accuracy: Some(0.98056),
                ..ModelReport::default()
            },
            ModelReport { name: "b".into(), loss: Some(estimate.into()), ..ModelReport::default() },
        ];
        let table = results(&report);
        assert!(table.contains("1,234,567") && table.contains("98.06 %"), "{table}");
        assert!(table.contains("2.00 ± 0.10<br><small>n = 1,500</small>"), "{table}");
        assert!(table.contains("&lt;a&gt;") && table.contains("<td>–</td>"));
        assert!(!table.contains("Sharpness") && !table.contains("Trace"));
        assert!(eigenvalues(&report).is_none());
    }

    #[test]
    fn both_ends_of_a_spectrum_are_listed() {
        let mut report = Report::new("t", "loss", Provenance::default());
        let found = |value| Eigenvalue { value, residual: 0.01, sampling_error: None };
        let spectrum = Spectrum {
            top: vec![found(3.0), found(2.0)],
            bottom: vec![found(-1.5), found(f64::NAN)],
            ..Spectrum::default()
        };
        let mut bottom_only = Spectrum { top: Vec::new(), ..spectrum.clone() };
        bottom_only.bottom[0].sampling_error = Some(0.125);
        report.models = vec![ModelReport { spectrum: Some(spectrum), ..ModelReport::default() }];
        let table = eigenvalues(&report).unwrap();
        let order = [">1<", ">3<", ">2<", ">n−1<", ">not a number<", ">n<", ">−1.5<"];
        let places: Vec<_> = order.map(|text| table.find(text).unwrap()).into();
        assert!(places.is_sorted(), "{table}");
        report.models[0].spectrum = Some(bottom_only);
        let sampled = eigenvalues(&report).unwrap();
        assert!(sampled.contains(">−1.5</td><td>0.01</td><td>0.12</td>"), "{sampled}");
        assert!(sampled.contains("colspan=\"3\"") && !table.contains("sampling error"));
    }
}
