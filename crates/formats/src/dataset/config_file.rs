//! A TOML file that says how data are to be read, once and for all.
//!
//! It lies in a folder of data as `thalweg.toml`, or anywhere and names the data by `path`:
//!
//! ```toml
//! path = "pets"                  # the data, from the folder of this file; its folder if not said
//! task = "classification"        # or "regression", where whole numbers could be either
//! target = ["price"]             # columns of a table to predict; one may be a plain string
//! leave_out = ["id"]             # columns of a table that are neither feature nor target
//! classes = ["cat", "dog"]       # names of the classes in the order of their labels
//! header = true                  # whether the first line of a CSV file names the columns
//! delimiter = ";"                # comma, semicolon or tab
//! resize = "32x48"               # height x width of images, or one number for both
//! channels = 3                   # of images: 1 or 3
//! scale = "imagenet"             # or "fitted", "none", "mean=0.5:std=0.2", or
//!                                # { mean = [0.5], std = [0.2] }
//! tokens = "bytes"               # of a text: "characters", or a tokenizer.json
//! context = 128                  # tokens that an example of a text shows
//! as = "coordinates"             # a picture as a function of the place in it
//! ```

use super::config::{BadValue, DataConfig, Scale, channels, delimiter};
use super::read_file;
use crate::FormatError;
use crate::error::at;
use std::path::{Path, PathBuf};
use toml::Value;

/// The name of the file in a folder of data.
pub const CONFIG_FILE: &str = "thalweg.toml";

const KEYS: [&str; 13] = [
    "path",
    "task",
    "target",
    "leave_out",
    "classes",
    "header",
    "delimiter",
    "resize",
    "channels",
    "scale",
    "tokens",
    "context",
    "as",
];

fn invalid(reason: String) -> FormatError {
    FormatError::Invalid { format: "TOML", reason }
}

/// The data that a path means, and what a TOML file says of them: the file itself if the path is
/// one, or `thalweg.toml` in the folder.
///
/// # Errors
/// A file that cannot be read or is none, with its path.
pub fn find_config(name: &str) -> Result<(String, DataConfig), FormatError> {
    let path = Path::new(name);
    let inside = path.join(CONFIG_FILE);
    let file = match path.extension().is_some_and(|e| e.eq_ignore_ascii_case("toml")) {
        true if path.is_file() => path,
        _ if path.is_dir() && inside.is_file() => &inside,
        _ => return Ok((name.to_owned(), DataConfig::default())),
    };
    let folder = file.parent().unwrap_or(Path::new(""));
    let read = || {
        let bytes = read_file(file)?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            invalid(format!("it is no UTF-8 after byte {}", error.valid_up_to()))
        })?;
        read_config(text)
    };
    let (data, mut config) = read().map_err(at(file))?;
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    if let Some(tokens) = &config.tokens
        && !matches!(tokens.as_str(), "characters" | "bytes")
    {
        config.tokens = Some(text(folder.join(tokens)));
    }
    let data = match data {
        Some(data) => text(folder.join(data)),
        None if folder.as_os_str().is_empty() => ".".to_owned(),
        None => text(folder.to_path_buf()),
    };
    Ok((data, config))
}

/// What a TOML text says: the path of the data, if it does, and how to read them.
///
/// # Errors
/// A text that is no TOML, an unknown key, a value that the key cannot have.
pub fn read_config(text: &str) -> Result<(Option<String>, DataConfig), FormatError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| {
            1 + text.as_bytes().iter().take(span.start).filter(|&&byte| byte == b'\n').count()
        });
        invalid(format!("line {line}: {}", error.message()))
    })?;
    let (mut path, mut config) = (None, DataConfig::default());
    for (key, value) in &table {
        let set = match key.as_str() {
            "path" => word(value).map(|word| path = Some(word.to_owned())),
            "task" => word(value).and_then(str::parse).map(|task| config.task = Some(task)),
            "target" => words(value).map(|list| config.target = list),
            "leave_out" => words(value).map(|list| config.leave_out = list),
            "classes" => words(value).map(|list| config.classes = list),
            "header" => value
                .as_bool()
                .map(|header| config.header = Some(header))
                .ok_or_else(|| wrong(value, "true or false")),
            "delimiter" => {
                word(value).and_then(delimiter).map(|mark| config.delimiter = Some(mark))
            }
            "resize" => text_of(value).parse().map(|size| config.resize = Some(size)),
            "channels" => channels(&text_of(value)).map(|n| config.channels = Some(n)),
            "scale" => scale(value).map(|scale| config.scale = Some(scale)),
            "tokens" => word(value).map(|word| config.tokens = Some(word.to_owned())),
            "context" => (value.as_integer())
                .and_then(|n| usize::try_from(n).ok())
                .filter(|&n| n > 0)
                .map(|n| config.context = Some(n))
                .ok_or_else(|| wrong(value, "a whole number of at least 1")),
            "as" => word(value).and_then(str::parse).map(|reading| config.reading = Some(reading)),
            other => {
                return Err(invalid(format!(
                    "unknown key `{other}`: expected one of {}",
                    KEYS.join(", ")
                )));
            }
        };
        set.map_err(|error| invalid(format!("{key} = {error}")))?;
    }
    if let Some(twice) = twice(&config.classes) {
        return Err(invalid(format!("classes: `{twice}` stands twice, expected each class once")));
    }
    Ok((path, config))
}

fn twice(names: &[String]) -> Option<&String> {
    let mut seen = std::collections::BTreeSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

/// A value as the command line would have it.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn wrong(value: &Value, expected: &'static str) -> BadValue {
    BadValue::new(&text_of(value), expected)
}

fn word(value: &Value) -> Result<&str, BadValue> {
    value.as_str().filter(|word| !word.is_empty()).ok_or_else(|| wrong(value, "a text in quotes"))
}

fn words(value: &Value) -> Result<Vec<String>, BadValue> {
    const EXPECTED: &str = "a text in quotes, or a list of them";
    let list = match value {
        Value::Array(list) => list.iter().map(|v| v.as_str().map(str::to_owned)).collect(),
        other => other.as_str().map(|word| vec![word.to_owned()]),
    };
    list.filter(|list: &Vec<String>| !list.is_empty()).ok_or_else(|| wrong(value, EXPECTED))
}

fn scale(value: &Value) -> Result<Scale, BadValue> {
    let Value::Table(table) = value else { return text_of(value).parse() };
    let numbers = |key: &str| -> Option<Vec<f64>> {
        let list = table.get(key)?.as_array()?;
        let number = |v: &Value| v.as_float().or_else(|| v.as_integer().map(|n| n as f64));
        list.iter().map(number).collect()
    };
    let given = numbers("mean").zip(numbers("std")).filter(|_| table.len() == 2);
    given.and_then(|(mean, std)| Scale::given(mean, std)).ok_or_else(|| {
        wrong(value, "{ mean = [..], std = [..] } of equally many finite numbers, std positive")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::config::{ImageSize, Reading, Task};

    #[test]
    fn every_key_of_the_documentation_is_read() {
        let source = include_str!("config_file.rs");
        let example = source.split("//! ```").nth(1).unwrap().trim_start_matches("toml\n");
        let text: String = example
            .lines()
            .map(|line| line.trim_start_matches("//!"))
            .fold(String::new(), |text, line| text + line + "\n");
        let (path, config) = read_config(&text).unwrap();
        assert_eq!(path.as_deref(), Some("pets"));
        let expected = DataConfig {
            task: Some(Task::Classification),
            target: vec!["price".into()],
            leave_out: vec!["id".into()],
            classes: vec!["cat".into(), "dog".into()],
            header: Some(true),
            delimiter: Some(';'),
            resize: Some(ImageSize { height: 32, width: 48 }),
            channels: Some(3),
            scale: Some("imagenet".parse().unwrap()),
            tokens: Some("bytes".into()),
            context: Some(128),
            reading: Some(Reading::Coordinates),
            n_classes: None,
        };
        assert_eq!(config, expected);
        for key in KEYS {
            assert!(text.contains(&format!("{key} = ")), "{key}");
        }
        let table = "scale = { mean = [0, 0.5], std = [1, 0.25] }\nresize = 7\ntarget = \"a\"";
        let (_, config) = read_config(table).unwrap();
        assert_eq!(config.scale, Scale::given(vec![0.0, 0.5], vec![1.0, 0.25]));
        assert_eq!(config.resize, Some(ImageSize { height: 7, width: 7 }));
        assert_eq!(config.target, ["a"]);
    }

    #[test]
    fn bad_values_get_one_sentence_with_their_key() {
        let fault = |text: &str| read_config(text).unwrap_err().to_string();
        let start = "not a valid TOML file: ";
        for (text, expected) in [
            ("resize = 0", "resize = \"0\": expected height x width as 32x48"),
            ("channels = 4", "channels = \"4\": expected 1 (grey) or 3"),
            ("header = \"yes\"", "header = \"yes\": expected true or false"),
            ("context = -1", "context = \"-1\": expected a whole number of at least 1"),
            ("target = []", "target = \"[]\": expected a text in quotes, or a list"),
            ("classes = [1]", "classes = \"[1]\": expected a text in quotes, or a list"),
            ("classes = [\"a\", \"a\"]", "classes: `a` stands twice"),
            ("scale = { mean = [1] }", "scale = "),
            ("scale = 3", "scale = \"3\": expected fitted, none, imagenet"),
            ("task = \"sorting\"", "task = \"sorting\": expected classification or regression"),
            ("delimiter = \"|\"", "delimiter = \"|\": expected comma, semicolon or tab"),
            ("as = \"map\"", "as = \"map\": expected coordinates"),
            ("path = 3", "path = \"3\": expected a text in quotes"),
            ("tokens = \"\"", "tokens = \"\": expected a text in quotes"),
            ("resise = 3", "unknown key `resise`: expected one of path, task"),
            ("task = \n", "line 1: "),
        ] {
            let message = fault(text);
            assert!(message.starts_with(&format!("{start}{expected}")), "{text}: {message}");
        }
    }
}
