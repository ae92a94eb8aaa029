//! Weights in several files, with an index that says which tensor is where, as Hugging Face's
//! libraries save models that are large.

use crate::FormatError;
use crate::safetensors::Weights;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

const FORMAT: &str = "index of shards";

fn invalid(reason: impl Into<String>) -> FormatError {
    FormatError::Invalid { format: FORMAT, reason: reason.into() }
}

/// Which tensor is in which file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The file of each tensor, by the tensor's name.
    files: BTreeMap<String, String>,
}

impl Index {
    /// Reads an index: JSON with a `weight_map` from names to files.
    ///
    /// # Errors
    /// Other text; a file that would not be in the folder of the index.
    pub fn read(bytes: &[u8]) -> Result<Index, FormatError> {
        let json: Value = serde_json::from_slice(bytes)
            .map_err(|error| invalid(format!("it is no JSON ({error})")))?;
        let map = json.get("weight_map").and_then(Value::as_object);
        let map = map.ok_or_else(|| {
            invalid("it has no `weight_map`, which would say the file of each tensor")
        })?;
        let mut files = BTreeMap::new();
        for (name, file) in map {
            let file = file
                .as_str()
                .ok_or_else(|| invalid(format!("the file of `{name}` is not named by a text")))?;
            if !stays_in_folder(file) {
                return Err(FormatError::Unsupported {
                    format: FORMAT,
                    what: format!(
                        "tensor `{}` is said to be in `{}`, which is outside of the folder of the \
                         index",
                        name.escape_debug(),
                        file.escape_debug()
                    ),
                });
            }
            files.insert(name.clone(), file.to_owned());
        }
        if files.is_empty() {
            return Err(invalid("its `weight_map` is empty"));
        }
        Ok(Index { files })
    }

    /// The files, each once, in the order of their names.
    pub fn files(&self) -> BTreeSet<&str> {
        self.files.values().map(String::as_str).collect()
    }

    /// All tensors of the shards, which are given with their names.
    ///
    /// # Errors
    /// A tensor that is in two shards, or not in the one that the index says.
    pub fn join(&self, shards: Vec<(String, Weights)>) -> Result<Weights, FormatError> {
        let mut joined = Weights::default();
        let mut places: BTreeMap<String, String> = BTreeMap::new();
        for (file, shard) in shards {
            joined.metadata.extend(shard.metadata);
            for (name, array) in shard.tensors {
                if let Some(other) = places.insert(name.clone(), file.clone()) {
                    let reason = format!("tensor `{name}` is in `{other}` and in `{file}`");
                    return Err(invalid(reason));
                }
                joined.tensors.insert(name, array);
            }
        }
        let astray = self.files.iter().find(|&(name, file)| places.get(name) != Some(file));
        match astray {
            Some((name, file)) => Err(invalid(format!(
                "tensor `{name}` is said to be in `{file}`, and is {}",
                match places.get(name) {
                    Some(other) => format!("in `{other}`"),
                    None => "in none of the shards".to_owned(),
                }
            ))),
            None => Ok(joined),
        }
    }
}

/// Whether a name from a file is that of a file in the same folder or one below, on any system.
fn stays_in_folder(name: &str) -> bool {
    let mut components = Path::new(name).components().peekable();
    !name.contains(['\\', ':', '\0'])
        && components.peek().is_some()
        && components.all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_array::Array;

    fn shard(names: &[&str]) -> Weights {
        let tensors = names.iter().map(|name| ((*name).to_owned(), Array::scalar(1f32)));
        Weights { tensors: tensors.collect(), ..Weights::default() }
    }

    #[test]
    fn shards_are_joined() {
        let text = br#"{"metadata": {"total_size": 12},
            "weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}}"#;
        let index = Index::read(text).unwrap();
        assert_eq!(
            index.files().into_iter().collect::<Vec<_>>(),
            ["one.safetensors", "two.safetensors"]
        );
        let shards = |one: &[&str], two: &[&str]| {
            vec![
                ("one.safetensors".to_owned(), shard(one)),
                ("two.safetensors".to_owned(), shard(two)),
            ]
        };
        let joined = index.join(shards(&["a", "c"], &["b"])).unwrap();
        assert_eq!(joined.tensors.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        let message = |shards| index.join(shards).unwrap_err().to_string();
        let invalid = "not a valid index of shards file: tensor ";
        assert_eq!(
            message(shards(&["a", "b", "c"], &["b"])),
            format!("{invalid}`b` is in `one.safetensors` and in `two.safetensors`")
        );
        assert_eq!(
            message(shards(&["a"], &["b", "c"])),
            format!("{invalid}`c` is said to be in `one.safetensors`, and is in `two.safetensors`")
        );
        assert_eq!(
            message(shards(&["a"], &["b"])),
            format!(
                "{invalid}`c` is said to be in `one.safetensors`, and is in none of the shards"
            )
        );
    }

    #[test]
    fn files_outside_of_the_folder_are_refused() {
        for name in [
            "../x",
            "/etc/passwd",
            "a/../../x",
            "..",
            ".",
            "",
            "C:\\x",
            "a\\..\\..\\x",
            "c:x",
            "./x",
        ] {
            let text = serde_json::json!({"weight_map": {"w": name}}).to_string();
            let message = Index::read(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(
                message,
                format!(
                    "index of shards: tensor `w` is said to be in `{}`, which is outside of the \
                     folder of the index",
                    name.escape_debug()
                )
            );
        }
        let below = Index::read(br#"{"weight_map": {"w": "part/x.safetensors"}}"#).unwrap();
        assert_eq!(below.files().into_iter().collect::<Vec<_>>(), ["part/x.safetensors"]);
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, part) in [
            ("[1]", "no `weight_map`"),
            ("{", "no JSON"),
            (&"[".repeat(1 << 20), "recursion limit"),
            (r#"{"weight_map": {"w": 1}}"#, "`w` is not named by a text"),
            (r#"{"weight_map": {}}"#, "is empty"),
        ] {
            let message = Index::read(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}
