//! An instrument as a command line names it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thalweg_methods::MethodError;
use thalweg_methods::registry::{Configured, Entry, INSTRUMENTS, instrument};

/// The word for the largest eigenvalue, which has a threshold.
pub(crate) const SHARPNESS: &str = "sharpness";

/// The word for that of the Hessian as the steps of an optimizer meet it that divides them by what it
/// remembers: to be read along a training alone.
pub(crate) const PRECONDITIONED: &str = "preconditioned_sharpness";

/// Names that say what is meant where the instrument's own says how it is found.
const WORDS: [(&str, &str); 3] =
    [(SHARPNESS, "lanczos"), (PRECONDITIONED, "lanczos"), ("trace", "hutchinson")];

/// An instrument with options and, to watch it, how often it is read:
/// `NAME[:STEPS][:OPTION=VALUE]..`, as `trace`, `trace:100`, `trace:100:probes=4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstrumentChoice {
    /// Its name, which is in front of its columns.
    pub name: String,
    /// Steps between two readings, if given.
    pub every: Option<u64>,
    /// What is set of its configuration.
    pub options: InstrumentOptions,
}

/// Options of an instrument with their values.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub struct InstrumentOptions(Vec<(String, String)>);

impl InstrumentOptions {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<InstrumentOptions> for Vec<String> {
    fn from(options: InstrumentOptions) -> Vec<String> {
        options.0.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

impl TryFrom<Vec<String>> for InstrumentOptions {
    type Error = String;

    fn try_from(words: Vec<String>) -> Result<InstrumentOptions, String> {
        let pair = |word: String| {
            let (name, value) =
                word.split_once('=').ok_or(format!("{word:?}: expected OPTION=VALUE"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        words.into_iter().map(pair).collect::<Result<_, String>>().map(InstrumentOptions)
    }
}

impl FromStr for InstrumentChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<InstrumentChoice, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default().to_owned();
        let (mut every, mut options) = (None, Vec::new());
        for part in parts {
            if part.contains('=') {
                options.push(part.to_owned());
                continue;
            }
            match part.parse() {
                Ok(steps) if steps > 0 && every.is_none() => every = Some(steps),
                _ => return Err(format!("{part:?} in {text:?}: expected a number of steps")),
            }
        }
        let options = InstrumentOptions::try_from(options)?;
        let choice = InstrumentChoice { name, every, options };
        // What cannot be set is told before anything runs.
        choice.configured(false).map_err(|error| error.to_string())?;
        Ok(choice)
    }
}

/// Without the steps.
impl fmt::Display for InstrumentChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.options.0.iter().try_for_each(|(name, value)| write!(f, ":{name}={value}"))
    }
}

impl InstrumentChoice {
    /// An instrument as it is.
    pub fn plain(name: &str) -> InstrumentChoice {
        let options = InstrumentOptions::default();
        InstrumentChoice { name: name.to_owned(), every: None, options }
    }

    /// What is known of it.
    ///
    /// # Errors
    /// `Config` for a name that is none.
    pub fn entry(&self) -> Result<&'static Entry, MethodError> {
        let known = WORDS.iter().find(|&&(word, _)| word == self.name);
        instrument(known.map_or(self.name.as_str(), |&(_, id)| id)).ok_or_else(|| {
            let words = WORDS.iter().map(|&(word, _)| word);
            let all: Vec<_> = words.chain(INSTRUMENTS.iter().map(|entry| entry.id)).collect();
            MethodError::Config {
                what: "instrument".to_owned(),
                expected: format!("some of {}", all.join(", ")),
                got: format!("{:?}", self.name),
            }
        })
    }

    /// The instrument, for readings in the midst of training or not.
    ///
    /// # Errors
    /// `Config` for a name, an option or a value that is none.
    pub fn configured(&self, watching: bool) -> Result<Box<dyn Configured>, MethodError> {
        (self.entry()?.configured)(watching, &self.options.0).map_err(|error| match error {
            MethodError::Config { what, expected, got } => {
                MethodError::Config { what: format!("{}: {what}", self.name), expected, got }
            }
            other => other,
        })
    }

    /// Its own name, with what is set.
    pub(crate) fn label(&self) -> Result<String, MethodError> {
        let name = self.entry()?.id.to_owned();
        Ok(InstrumentChoice { name, ..self.clone() }.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_steps_and_options_go_round() {
        let one: InstrumentChoice = "trace:100:probes=4:tolerance=0.5".parse().unwrap();
        assert_eq!((one.name.as_str(), one.every), ("trace", Some(100)));
        assert_eq!(one.to_string(), "trace:probes=4:tolerance=0.5");
        assert_eq!(one.label().unwrap(), "hutchinson:probes=4:tolerance=0.5");
        let words: Vec<String> = one.options.clone().into();
        assert_eq!(InstrumentOptions::try_from(words).unwrap(), one.options);
        assert_eq!(
            "xtrace".parse::<InstrumentChoice>().unwrap(),
            InstrumentChoice::plain("xtrace")
        );
    }

    #[test]
    fn what_is_no_instrument_or_option_is_told() {
        let fault = |text: &str| text.parse::<InstrumentChoice>().unwrap_err();
        assert!(fault("sharp").starts_with("instrument: expected some of sharpness, "));
        assert_eq!(fault("trace:0"), "\"0\" in \"trace:0\": expected a number of steps");
        assert_eq!(fault("trace:5:6"), "\"6\" in \"trace:5:6\": expected a number of steps");
        assert_eq!(
            fault("trace:probe=4"),
            "trace: options: expected some of probes, tolerance, got probe"
        );
        assert_eq!(
            fault("trace:probes=x"),
            "trace: probes: expected a whole number up to 1000000, got \"x\""
        );
        assert_eq!(fault("loss:top=1"), "loss: options: expected no options, got top");
    }
}
