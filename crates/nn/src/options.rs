//! Options as text: `name key=value key=value`.
//!
//! Each owner lists its fields once; the parser and the printer both walk that list.

use crate::error::{NnError, nearest};
use crate::layer::{Activation, Classifier, Normalization};

/// A value that an option can have.
pub(crate) trait Field {
    /// Takes the value of a text, or says what was expected.
    fn set(&mut self, text: &str) -> Result<(), String>;
    /// The text that gives this value again.
    fn show(&self) -> String;
}

/// Something with named options.
pub(crate) trait Options {
    /// Calls `visit` on each option in the order in which they are printed.
    fn fields(&mut self, visit: &mut dyn FnMut(&'static str, &mut dyn Field));
}

/// Sets options from `key=value` words.
pub(crate) fn parse(owner: &str, options: &mut dyn Options, words: &[&str]) -> Result<(), NnError> {
    let mut known: Vec<&'static str> = Vec::new();
    options.fields(&mut |name, _| known.push(name));
    for (i, word) in words.iter().enumerate() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let bad = |expected: String| NnError::BadOption {
            owner: owner.to_owned(),
            option: key.to_owned(),
            expected,
            got: value.to_owned(),
        };
        if !known.contains(&key) {
            return Err(NnError::UnknownOption {
                owner: owner.to_owned(),
                got: key.to_owned(),
                nearest: nearest(key, known.iter().copied()).map(str::to_owned),
                known: known.iter().map(|&name| name.to_owned()).collect(),
            });
        }
        if words[..i].iter().any(|earlier| earlier.split_once('=').map(|w| w.0) == Some(key)) {
            return Err(bad("to be given once".into()));
        }
        let mut result = Ok(());
        options.fields(&mut |name, field| {
            if name == key {
                result = field.set(value);
            }
        });
        result.map_err(bad)?;
    }
    Ok(())
}

/// Every option as ` key=value`.
pub(crate) fn show(options: &mut dyn Options) -> String {
    let mut text = String::new();
    options.fields(&mut |name, field| {
        text.push_str(&format!(" {name}={}", field.show()));
    });
    text
}

impl Field for usize {
    fn set(&mut self, text: &str) -> Result<(), String> {
        *self = text.parse().map_err(|_| "a whole number".to_owned())?;
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Field for f64 {
    fn set(&mut self, text: &str) -> Result<(), String> {
        let number: Option<f64> = text.parse().ok().filter(|x: &f64| x.is_finite());
        *self = number.ok_or("a number")?;
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Field for bool {
    fn set(&mut self, text: &str) -> Result<(), String> {
        *self = match text {
            "true" | "yes" | "1" => true,
            "false" | "no" | "0" => false,
            _ => return Err("true or false".to_owned()),
        };
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Numbers joined by `-`; `none` for no numbers.
impl Field for Vec<usize> {
    fn set(&mut self, text: &str) -> Result<(), String> {
        if text == "none" {
            self.clear();
            return Ok(());
        }
        let numbers: Result<Vec<usize>, _> = text.split('-').map(str::parse).collect();
        *self = numbers.map_err(|_| "whole numbers as 64-128, or none".to_owned())?;
        Ok(())
    }

    fn show(&self) -> String {
        let numbers: Vec<_> = self.iter().map(usize::to_string).collect();
        if numbers.is_empty() { "none".to_owned() } else { numbers.join("-") }
    }
}

/// The value of a name in a table, or the list of names.
pub(crate) fn choose<T: Copy>(table: &[(&str, T)], text: &str) -> Result<T, String> {
    table.iter().find(|(name, _)| *name == text).map(|&(_, value)| value).ok_or_else(|| {
        format!("one of {}", table.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))
    })
}

/// The name of a value in a table.
pub(crate) fn name_of<T: PartialEq>(table: &[(&'static str, T)], value: &T) -> String {
    let found = table.iter().find(|(_, known)| known == value);
    found.map(|(name, _)| (*name).to_owned()).unwrap_or_default()
}

/// A [`Field`] of an enum with a table of names.
macro_rules! named_field {
    ($type:ty) => {
        impl $crate::options::Field for $type {
            fn set(&mut self, text: &str) -> Result<(), String> {
                *self = $crate::options::choose(&<$type>::NAMES, text)?;
                Ok(())
            }

            fn show(&self) -> String {
                $crate::options::name_of(&<$type>::NAMES, self)
            }
        }
    };
}
pub(crate) use named_field;

named_field!(Normalization);
named_field!(Classifier);

impl Field for Activation {
    fn set(&mut self, text: &str) -> Result<(), String> {
        *self = Activation::from_text(text).ok_or_else(|| {
            let names: Vec<_> = Activation::ALL.iter().map(ToString::to_string).collect();
            format!("one of {}", names.join(", "))
        })?;
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}
