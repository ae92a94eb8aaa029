//! How data are to be read: what a file cannot say of itself.

use crate::FormatError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What the targets are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Each value is a class of its own.
    Classification,
    /// Values are numbers to come close to.
    Regression,
}

/// What else a file may be read as than by its own nature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// One picture: from a place in it to the colour there.
    Coordinates,
}

/// The size that images are brought to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageSize {
    /// Rows of pixels.
    pub height: usize,
    /// Columns of pixels.
    pub width: usize,
}

/// What the inputs are shifted by and divided by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scale {
    /// Mean and standard deviation of the training part.
    Fitted,
    /// Inputs stay as they were read.
    None,
    /// These, one for each channel or feature, or one for all.
    Given {
        /// Subtracted first.
        mean: Vec<f64>,
        /// Divided by then.
        std: Vec<f64>,
    },
}

/// How data are to be read; what is not said is found out or has a default.
///
/// It is what the options of the command line, a TOML file and the record in a run say; see
/// [`super::config_file`] for the file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DataConfig {
    /// What the targets are for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// Columns that are to be predicted, of a table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target: Vec<String>,
    /// Columns that are neither features nor targets, of a table.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leave_out: Vec<String>,
    /// Names of the classes in the order of their labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Whether the first line of a CSV file names the columns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// What parts the cells of a CSV file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<char>,
    /// The size that images are brought to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<ImageSize>,
    /// Channels of images: 1 or 3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// What inputs are shifted by and divided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    /// Tokens of a text: `characters`, `bytes`, or the path of a `tokenizer.json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<String>,
    /// Tokens in the input of an example of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// What else than by its nature a file is read as.
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
    /// Number of classes, where a model says it: then a class may be without examples.
    #[serde(skip)]
    pub n_classes: Option<usize>,
}

/// What kind of data a name or path holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// A data set of the catalogue.
    Named,
    /// An `.npz` file.
    Npz,
    /// IDX files.
    Idx,
    /// A CSV file.
    Csv,
    /// A Parquet file.
    Parquet,
    /// A folder of images.
    Images,
    /// A text.
    Text,
    /// One picture, read as coordinates.
    Coordinates,
}

impl DataKind {
    /// What it is, with its article.
    pub fn describe(self) -> &'static str {
        match self {
            DataKind::Named => "a built-in data set",
            DataKind::Npz => "an .npz file",
            DataKind::Idx => "an IDX data set",
            DataKind::Csv => "a CSV file",
            DataKind::Parquet => "a Parquet file",
            DataKind::Images => "a folder of images",
            DataKind::Text => "a text",
            DataKind::Coordinates => "a picture read as coordinates",
        }
    }
}

impl DataConfig {
    /// This, and where it says nothing the other.
    pub fn or(self, other: DataConfig) -> DataConfig {
        let list = |a: Vec<String>, b: Vec<String>| if a.is_empty() { b } else { a };
        DataConfig {
            task: self.task.or(other.task),
            target: list(self.target, other.target),
            leave_out: list(self.leave_out, other.leave_out),
            classes: list(self.classes, other.classes),
            header: self.header.or(other.header),
            delimiter: self.delimiter.or(other.delimiter),
            resize: self.resize.or(other.resize),
            channels: self.channels.or(other.channels),
            scale: self.scale.or(other.scale),
            tokens: self.tokens.or(other.tokens),
            context: self.context.or(other.context),
            reading: self.reading.or(other.reading),
            n_classes: self.n_classes.or(other.n_classes),
        }
    }

    /// The keys that are said, and the kinds of data that they are for.
    fn said(&self) -> [(bool, &'static str, &'static [DataKind]); 12] {
        use DataKind::{Coordinates, Csv, Idx, Images, Named, Npz, Parquet, Text};
        [
            (self.task.is_some(), "task", &[Npz, Idx, Csv, Parquet]),
            (!self.target.is_empty(), "target", &[Csv, Parquet]),
            (!self.leave_out.is_empty(), "leave_out", &[Csv, Parquet]),
            (!self.classes.is_empty(), "classes", &[Npz, Idx, Csv, Parquet, Images]),
            (self.header.is_some(), "header", &[Csv]),
            (self.delimiter.is_some(), "delimiter", &[Csv]),
            (self.resize.is_some(), "resize", &[Images, Coordinates]),
            (self.channels.is_some(), "channels", &[Images, Coordinates]),
            (self.scale.is_some(), "scale", &[Named, Npz, Idx, Csv, Parquet, Images, Coordinates]),
            (self.tokens.is_some(), "tokens", &[Text]),
            (self.context.is_some(), "context", &[Text]),
            (self.reading.is_some(), "as", &[Coordinates]),
        ]
    }

    /// The first key that says something which data of this kind do not have, and the kinds that
    /// do.
    pub fn misplaced(&self, kind: DataKind) -> Option<(&'static str, &'static [DataKind])> {
        let mut said = self.said().into_iter();
        said.find(|(said, _, kinds)| *said && !kinds.contains(&kind))
            .map(|(_, key, kinds)| (key, kinds))
    }

    /// The part that matters for data of this kind.
    pub fn for_kind(self, kind: DataKind) -> DataConfig {
        let drop =
            |key: &str| self.said().iter().any(|(_, k, kinds)| *k == key && !kinds.contains(&kind));
        let mut kept = self.clone();
        let list = |key: &str, value: &mut Vec<String>| {
            if drop(key) {
                value.clear()
            }
        };
        list("target", &mut kept.target);
        list("leave_out", &mut kept.leave_out);
        list("classes", &mut kept.classes);
        kept.task = kept.task.filter(|_| !drop("task"));
        kept.header = kept.header.filter(|_| !drop("header"));
        kept.delimiter = kept.delimiter.filter(|_| !drop("delimiter"));
        kept.resize = kept.resize.filter(|_| !drop("resize"));
        kept.channels = kept.channels.filter(|_| !drop("channels"));
        kept.scale = kept.scale.filter(|_| !drop("scale"));
        kept.tokens = kept.tokens.filter(|_| !drop("tokens"));
        kept.context = kept.context.filter(|_| !drop("context"));
        kept.reading = kept.reading.filter(|_| !drop("as"));
        kept
    }
}

/// What a value of a key must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{got:?}: expected {expected}")]
pub struct BadValue {
    /// What was given.
    pub got: String,
    /// What would do.
    pub expected: &'static str,
}

impl BadValue {
    pub(crate) fn new(got: &str, expected: &'static str) -> BadValue {
        BadValue { got: got.to_owned(), expected }
    }
}

impl From<BadValue> for FormatError {
    fn from(error: BadValue) -> FormatError {
        FormatError::Unsupported { format: "data", what: error.to_string() }
    }
}

impl FromStr for Task {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Task, BadValue> {
        match text {
            "classification" => Ok(Task::Classification),
            "regression" => Ok(Task::Regression),
            other => Err(BadValue::new(other, "classification or regression")),
        }
    }
}

impl FromStr for Reading {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Reading, BadValue> {
        match text {
            "coordinates" => Ok(Reading::Coordinates),
            other => Err(BadValue::new(other, "coordinates")),
        }
    }
}

/// The longest side that an image may be brought to.
const LONGEST_SIDE: usize = 1 << 14;

impl FromStr for ImageSize {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<ImageSize, BadValue> {
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        let side = |text: &str| text.parse().ok().filter(|side| (1..=LONGEST_SIDE).contains(side));
        match (side(height), side(width)) {
            (Some(height), Some(width)) => Ok(ImageSize { height, width }),
            _ => Err(BadValue::new(text, "height x width as 32x48, or one number, up to 16384")),
        }
    }
}

impl fmt::Display for ImageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height, self.width)
    }
}

/// Mean and standard deviation of the channels of ImageNet, as torchvision's models have them.
const IMAGENET: ([f64; 3], [f64; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

const SCALE: &str = "fitted, none, imagenet, or mean=0.5,0.4,0.3:std=0.2,0.2,0.2 with finite means \
                     and positive finite standard deviations, as many of the one as of the other";

impl Scale {
    /// These means and standard deviations, `None` if they cannot be.
    pub fn given(mean: Vec<f64>, std: Vec<f64>) -> Option<Scale> {
        let usable = !mean.is_empty()
            && mean.len() == std.len()
            && mean.iter().all(|m| m.is_finite())
            && std.iter().all(|s| s.is_finite() && *s > 0.0);
        usable.then_some(Scale::Given { mean, std })
    }
}

impl FromStr for Scale {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Scale, BadValue> {
        match text {
            "fitted" => return Ok(Scale::Fitted),
            "none" => return Ok(Scale::None),
            "imagenet" => {
                let (mean, std) = IMAGENET;
                return Ok(Scale::Given { mean: mean.into(), std: std.into() });
            }
            _ => {}
        }
        let numbers = |key: &str| -> Option<Vec<f64>> {
            let mut words = text.split([':', ' ']).filter(|word| !word.is_empty());
            let list = words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))?;
            list.split(',').map(|number| number.parse().ok()).collect()
        };
        let words = text.split([':', ' ']).filter(|word| !word.is_empty()).count();
        (numbers("mean").zip(numbers("std")))
            .filter(|_| words == 2)
            .and_then(|(mean, std)| Scale::given(mean, std))
            .ok_or_else(|| BadValue::new(text, SCALE))
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        match self {
            Scale::Fitted => f.write_str("fitted"),
            Scale::None => f.write_str("none"),
            Scale::Given { mean, std } => write!(f, "mean={}:std={}", list(mean), list(std)),
        }
    }
}

macro_rules! as_text {
    ($($kind:ident),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = BadValue;

            fn try_from(text: String) -> Result<$kind, BadValue> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> String {
                value.to_string()
            }
        }
    )*};
}

as_text!(ImageSize, Scale);

/// The delimiter of a name or character.
pub fn delimiter(text: &str) -> Result<char, BadValue> {
    match text {
        "," | "comma" => Ok(','),
        ";" | "semicolon" => Ok(';'),
        "\t" | "\\t" | "tab" => Ok('\t'),
        other => Err(BadValue::new(other, "comma, semicolon or tab")),
    }
}

/// The number of channels.
pub fn channels(text: &str) -> Result<usize, BadValue> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        other => Err(BadValue::new(other, "1 (grey) or 3 (red, green, blue)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_round_as_text() {
        for text in ["fitted", "none", "mean=0.5,-1:std=0.25,3"] {
            assert_eq!(text.parse::<Scale>().unwrap().to_string(), text);
        }
        let imagenet: Scale = "imagenet".parse().unwrap();
        assert_eq!(imagenet.to_string(), "mean=0.485,0.456,0.406:std=0.229,0.224,0.225");
        assert_eq!(
            "mean=1,2 std=3,4".parse(),
            Ok(Scale::given(vec![1.0, 2.0], vec![3.0, 4.0]).unwrap())
        );
        assert_eq!("32".parse::<ImageSize>().unwrap().to_string(), "32x32");
        assert_eq!("32x48".parse(), Ok(ImageSize { height: 32, width: 48 }));
    }

    #[test]
    fn values_that_are_none_get_one_sentence() {
        for bad in
            ["mean=1", "mean=1:std=0", "mean=1,2:std=1", "mean=nan:std=1", "mean=1:std=1:x", ""]
        {
            assert!(
                bad.parse::<Scale>().unwrap_err().to_string().contains("expected fitted"),
                "{bad}"
            );
        }
        for bad in ["0", "32x0", "1x2x3", "-1", "99999", "x"] {
            let message = bad.parse::<ImageSize>().unwrap_err().to_string();
            assert!(message.contains("expected height x width"), "{bad}");
        }
        assert_eq!(
            "sorting".parse::<Task>().unwrap_err().to_string(),
            "\"sorting\": expected classification or regression"
        );
        assert!(
            delimiter("|").is_err() && channels("2").is_err() && "map".parse::<Reading>().is_err()
        );
    }

    #[test]
    fn what_is_not_said_is_filled_in_and_what_does_not_belong_is_found() {
        let own = DataConfig { channels: Some(1), ..DataConfig::default() };
        let other = DataConfig { channels: Some(3), context: Some(9), ..DataConfig::default() };
        let both = own.clone().or(other);
        assert_eq!((both.channels, both.context), (Some(1), Some(9)));
        assert_eq!(both.misplaced(DataKind::Text).map(|(key, _)| key), Some("channels"));
        assert_eq!(both.misplaced(DataKind::Images).map(|(key, _)| key), Some("context"));
        assert_eq!(both.for_kind(DataKind::Images), own);
        assert_eq!(own.misplaced(DataKind::Images), None);
    }
}
