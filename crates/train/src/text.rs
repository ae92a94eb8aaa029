//! Settings as text: `name:key=value,key=value`.
//!
//! Blanks may stand for the colon and the commas, so that both forms of the command line work.

use crate::TrainError;

/// The name and the options of a text; an option without a value is `true`.
pub(crate) fn split(text: &str) -> (&str, Vec<(&str, &str)>) {
    let mut words = text
        .split(|c: char| c == ':' || c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty());
    let name = words.next().unwrap_or("");
    (name, words.map(|word| word.split_once('=').unwrap_or((word, "true"))).collect())
}

/// A number in a range, which `expected` puts into words.
pub(crate) fn number(
    owner: &str,
    key: &str,
    text: &str,
    expected: &str,
    fits: impl Fn(f64) -> bool,
) -> Result<f64, TrainError> {
    text.parse()
        .ok()
        .filter(|&value: &f64| value.is_finite() && fits(value))
        .ok_or_else(|| TrainError::setting(format!("{key} of {owner}"), expected, text))
}

/// Values joined by `/` that fit together, which `expected` puts into words.
pub(crate) fn list<T: std::str::FromStr>(
    owner: &str,
    key: &str,
    text: &str,
    expected: &str,
    fits: impl Fn(&[T]) -> bool,
) -> Result<Vec<T>, TrainError> {
    let values: Result<Vec<T>, _> = text.split('/').map(str::parse).collect();
    let found = values.ok().filter(|values| fits(values));
    found.ok_or_else(|| TrainError::setting(format!("{key} of {owner}"), expected, text))
}

/// `true` or `false`.
pub(crate) fn flag(owner: &str, key: &str, text: &str) -> Result<bool, TrainError> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(TrainError::setting(format!("{key} of {owner}"), "true or false", text)),
    }
}

/// One of some named choices.
pub(crate) fn choice<T: Copy>(
    owner: &str,
    key: &str,
    text: &str,
    known: &[(&str, T)],
) -> Result<T, TrainError> {
    let found = known.iter().find(|(name, _)| *name == text);
    found.map(|&(_, choice)| choice).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        TrainError::setting(format!("{key} of {owner}"), names.join(" or "), text)
    })
}

/// An option that the owner does not have.
pub(crate) fn unknown(owner: &str, key: &str, known: &[&str]) -> TrainError {
    let expected = match known {
        [] => "no options".to_owned(),
        _ => format!("one of {}", known.join(", ")),
    };
    TrainError::setting(format!("option of {owner}"), expected, key)
}

/// Refuses an option that comes twice.
pub(crate) fn once(owner: &str, options: &[(&str, &str)]) -> Result<(), TrainError> {
    for (i, (key, _)) in options.iter().enumerate() {
        if options[..i].iter().any(|(earlier, _)| earlier == key) {
            let what = format!("{key} of {owner}");
            return Err(TrainError::setting(what, "to be given once", "it twice"));
        }
    }
    Ok(())
}

/// The text of a name and options.
pub(crate) fn join(name: &str, options: &[String]) -> String {
    match options {
        [] => name.to_owned(),
        _ => format!("{name}:{}", options.join(",")),
    }
}
