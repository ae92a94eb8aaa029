//! Several models beside each other, in words.

use crate::table::{number, quantity, table};
use thalweg_record::Difference;
use thalweg_record::reply::CompareBody;

/// More differences than this are shown only where they are real.
const LISTED: usize = 40;

/// The readings as a table with a column a model, and below it how they differ.
pub fn text(body: &CompareBody) -> String {
    let comparison = &body.comparison;
    let label = |instrument: &str, name: &str| match instrument == name {
        true => name.to_owned(),
        false => format!("{instrument}: {name}"),
    };
    let names = body.models.iter().map(|model| model.name.as_str());
    // Two columns of which the second is of texts would stand to the left.
    let heads: Vec<&str> = std::iter::once("").chain(names).collect();
    let rows: Vec<Vec<String>> = comparison
        .quantities
        .iter()
        .map(|q| {
            let values = q.values.iter().map(quantity);
            std::iter::once(label(&q.instrument, &q.name)).chain(values).collect()
        })
        .collect();
    let mut text = table(&heads, &rows);
    let heads: Vec<&str> = std::iter::once("took").chain(heads.iter().skip(1).copied()).collect();
    let rows = comparison.instruments.iter().map(|instrument| {
        let spent = instrument.spent.iter().map(|spent| spent.passes.clone());
        std::iter::once(instrument.id.clone()).chain(spent).collect::<Vec<String>>()
    });
    text += "\n";
    text += &table(&heads, &rows.collect::<Vec<_>>());
    let real = comparison.differences.iter().filter(|d| d.real == Some(true)).count();
    let tested = comparison.differences.iter().filter(|d| d.p.is_some()).count();
    let few = comparison.differences.len() <= LISTED;
    let row = |d: &Difference| {
        let pair = format!("{} - {}", d.second, d.first);
        let verdict = match d.real {
            Some(true) => "real",
            Some(false) => "may be chance",
            None if d.difference.value().is_finite() => "no error bar",
            None => "not finite",
        };
        vec![
            label(&d.instrument, &d.name),
            pair,
            quantity(&d.difference),
            d.p_adjusted.map(number).unwrap_or_default(),
            verdict.to_owned(),
        ]
    };
    let shown = comparison.differences.iter().filter(|d| few || d.real == Some(true));
    let rows: Vec<Vec<String>> = shown.map(row).collect();
    if !rows.is_empty() {
        text += "\n";
        text += &table(&["difference", "of", "value", "adjusted p", ""], &rows);
    }
    text += &format!(
        "\n{real} of {tested} differences with an error are real: the probability that any of them \
         is not is at most {}\n",
        comparison.level
    );
    text
}
