//! Several models beside each other, in a report.

use crate::axis::significant;
use crate::markup::escape;
use crate::report_table::quantity;
use thalweg_record::{Comparison, Difference, Report};

/// More differences than this are folded away unless they are real.
const LISTED: usize = 40;

/// The readings, a row a number and a column a model, and the differences.
pub(crate) fn comparison(report: &Report) -> Option<String> {
    let comparison = report.comparison.as_ref()?;
    let names: String = report
        .models
        .iter()
        .map(|model| format!("<th scope=\"col\">{}</th>", escape(&model.name)))
        .collect();
    let row = |instrument: &str, name: &str, cells: String| {
        format!(
            "<tr><th scope=\"row\">{}<small>{}</small></th>{cells}</tr>",
            escape(name),
            escape(instrument)
        )
    };
    let mut rows = String::new();
    for q in &comparison.quantities {
        let cells: String =
            q.values.iter().map(|value| format!("<td>{}</td>", quantity(*value))).collect();
        rows += &row(&q.instrument, &q.name, cells);
    }
    let spent = comparison.instruments.iter().filter(|instrument| !instrument.spent.is_empty());
    let spent = spent.map(|instrument| {
        let cells = instrument.spent.iter().map(|of| format!("<td>{}</td>", escape(&of.passes)));
        let cells: String = cells.collect();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", escape(&instrument.id))
    });
    let spent: String = spent.collect();
    let spent = match spent.as_str() {
        "" => String::new(),
        rows => format!(
            "<details><summary>Passes over the data that each took</summary><table><thead><tr>\
             <th scope=\"col\">Instrument</th>{names}</tr></thead><tbody>{rows}</tbody></table>\
             </details>"
        ),
    };
    Some(format!(
        "<div class=\"card\"><table><thead><tr><th scope=\"col\">Quantity</th>{names}</tr></thead>\
         <tbody>{rows}</tbody></table>{spent}</div>\n<p></p><div class=\"card\">{}</div>",
        differences(comparison)
    ))
}

fn differences(comparison: &Comparison) -> String {
    let all = &comparison.differences;
    let real = all.iter().filter(|d| d.real == Some(true)).count();
    let tested = all.iter().filter(|d| d.p.is_some()).count();
    let row = |d: &Difference| {
        let verdict = match d.real {
            Some(true) => "<strong>real</strong>",
            Some(false) => "may be chance",
            None if d.difference.value().is_finite() => "no error bar",
            None => "not finite",
        };
        let p = d.p_adjusted.map_or_else(|| "–".to_owned(), |p| significant(p, 2));
        format!(
            "<tr><th scope=\"row\">{}<small>{}</small></th><td>{} − {}</td><td>{}</td><td>{p}</td>\
             <td>{verdict}</td></tr>",
            escape(&d.name),
            escape(&d.instrument),
            escape(&d.second),
            escape(&d.first),
            quantity(d.difference),
        )
    };
    let few = all.len() <= LISTED;
    let rows: String = all.iter().filter(|d| few || d.real == Some(true)).map(row).collect();
    format!(
        "<p>{real} of {tested} differences with an error are real: the probability that any of them \
         is not is at most {}.</p><table><thead><tr><th scope=\"col\">Difference</th>\
         <th scope=\"col\">of</th><th scope=\"col\">value</th><th scope=\"col\">adjusted p</th>\
         <th scope=\"col\"></th></tr></thead><tbody>{rows}</tbody></table>",
        comparison.level
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_record::{
        ComparedInstrument, ComparedQuantity, Estimate, ModelReport, Provenance, Sampled,
        SpentPasses,
    };

    #[test]
    fn every_model_has_a_column_and_names_cannot_break_the_table() {
        let mut report = Report::new("t", "loss", Provenance::default());
        assert_eq!(comparison(&report), None);
        let model = |name: &str| ModelReport { name: name.into(), ..ModelReport::default() };
        report.models = vec![model("<a>"), model("b")];
        let estimate = Estimate { value: 0.25, standard_error: 0.01, samples: 32 };
        let difference = Difference {
            instrument: "loss".into(),
            name: "loss".into(),
            first: "<a>".into(),
            second: "b".into(),
            difference: estimate.into(),
            over: Some(Sampled::Examples),
            p: Some(0.001),
            p_adjusted: Some(0.002),
            real: Some(true),
        };
        let spent = |passes: &str| SpentPasses { passes: passes.into(), ..SpentPasses::default() };
        report.comparison = Some(Comparison {
            level: 0.05,
            instruments: vec![ComparedInstrument {
                id: "loss".into(),
                summary: String::new(),
                source: String::new(),
                cost: "1 loss".into(),
                gradients: 0.3,
                invariances: Vec::new(),
                spent: vec![spent("1 loss"), spent("3 losses")],
            }],
            quantities: vec![ComparedQuantity {
                instrument: "loss".into(),
                name: "loss".into(),
                values: vec![1.0.into(), 1.25.into()],
                ..ComparedQuantity::default()
            }],
            differences: vec![difference],
        });
        let text = comparison(&report).unwrap();
        assert!(text.contains("&lt;a&gt;") && !text.contains("<a>"), "{text}");
        assert!(text.contains("<td>1 loss</td><td>3 losses</td>"), "{text}");
        assert!(text.contains("1 of 1 differences") && text.contains("<strong>real"), "{text}");
        assert!(text.contains("0.250 ± 0.010") && text.contains("0.002"), "{text}");
    }
}
