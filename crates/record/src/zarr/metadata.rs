//! The JSON of groups and arrays.

use super::element::fill_of;
use super::{ArraySpec, Group, METADATA};
use crate::{RecordError, Result, format_error, shape_error};
use serde_json::{Map, Value, json};

/// How deep groups may lie in one another.
const DEEPEST: usize = 64;

/// The metadata of every node below the root, by path, parents first.
pub(super) fn nodes(root: &Group) -> Result<Vec<(String, Value)>> {
    let mut nodes = Vec::new();
    walk(root, "", &mut nodes)?;
    Ok(nodes)
}

fn walk(group: &Group, path: &str, nodes: &mut Vec<(String, Value)>) -> Result<()> {
    for (name, spec) in &group.arrays {
        nodes.push((child(path, name)?, array(name, spec)?));
    }
    for (name, inner) in &group.groups {
        let path = child(path, name)?;
        nodes.push((path.clone(), node(inner)));
        walk(inner, &path, nodes)?;
    }
    Ok(())
}

/// A name becomes part of a path, so it may not lead elsewhere.
fn child(path: &str, name: &str) -> Result<String> {
    let periods_only = name.chars().all(|c| c == '.');
    if periods_only || name.contains(['/', '\\', '\0']) || name.starts_with("__") {
        return Err(shape_error("name of a Zarr node", "one without slashes", format!("{name:?}")));
    }
    Ok(super::key(path, name))
}

fn node(group: &Group) -> Value {
    json!({"zarr_format": 3, "node_type": "group", "attributes": group.attributes})
}

/// The root's metadata, with that of all nodes in it: one read opens the hierarchy.
pub(super) fn root(group: &Group, nodes: Vec<(String, Value)>) -> Value {
    let mut root = node(group);
    let nodes: Map<String, Value> = nodes.into_iter().collect();
    root["consolidated_metadata"] =
        json!({"kind": "inline", "must_understand": false, "metadata": nodes});
    root
}

fn array(name: &str, spec: &ArraySpec) -> Result<Value> {
    let rank = spec.shape.len();
    if spec.chunks.len() != rank || spec.dimensions.len() != rank || spec.chunks.contains(&0) {
        return Err(shape_error(
            format!("array {name}"),
            format!("{rank} chunk extents above zero and {rank} dimension names"),
            format!("{:?} and {:?}", spec.chunks, spec.dimensions),
        ));
    }
    let fill = fill_of(&spec.data_type)
        .ok_or_else(|| shape_error(format!("array {name}"), "a number type", &spec.data_type))?;
    Ok(json!({
        "zarr_format": 3,
        "node_type": "array",
        "shape": spec.shape,
        "data_type": spec.data_type,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": spec.chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": spec.attributes,
        "dimension_names": spec.dimensions,
        "storage_transformers": [],
    }))
}

/// Reads a root's metadata back into a description.
pub(super) fn parse(bytes: &[u8]) -> Result<Group> {
    let root: Value = serde_json::from_slice(bytes)
        .map_err(|error| format_error(METADATA, "an object in JSON", error))?;
    if root["zarr_format"] != 3 || root["node_type"] != "group" {
        return Err(format_error(METADATA, "a group of Zarr format 3", short(&root)));
    }
    let mut group = Group { attributes: attributes(&root), ..Group::default() };
    let nodes = root["consolidated_metadata"]["metadata"]
        .as_object()
        .ok_or_else(|| format_error(METADATA, "consolidated metadata", "none"))?;
    for (path, node) in nodes {
        // Every level is a call deeper for whoever walks or drops the hierarchy.
        if path.matches('/').count() >= DEEPEST {
            let expected = format!("at most {DEEPEST} groups in one another");
            return Err(format_error(METADATA, expected, short(&Value::from(path.as_str()))));
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut into = &mut group;
        for part in parent.split('/').filter(|part| !part.is_empty()) {
            into = into.groups.entry(part.to_owned()).or_default();
        }
        match node["node_type"].as_str() {
            Some("array") => {
                into.arrays.insert(name.to_owned(), parse_array(path, node)?);
            }
            Some("group") => {
                // A child may have come first and made it.
                into.groups.entry(name.to_owned()).or_default().attributes = attributes(node);
            }
            _ => return Err(format_error(path, "an array or a group", short(node))),
        }
    }
    Ok(group)
}

fn parse_array(path: &str, node: &Value) -> Result<ArraySpec> {
    let extents = |value: &Value, what: &str| -> Result<Vec<usize>> {
        let list = value.as_array().map(|list| {
            list.iter().map(|v| v.as_u64().and_then(|v| usize::try_from(v).ok())).collect()
        });
        list.flatten().ok_or_else(|| format_error(path, what, short(value)))
    };
    let shape = extents(&node["shape"], "a shape")?;
    let grid = &node["chunk_grid"];
    let chunks = extents(&grid["configuration"]["chunk_shape"], "a regular chunk grid")?;
    let codecs = &node["codecs"];
    let little = &codecs[0]["configuration"]["endian"];
    if codecs.as_array().map(Vec::len) != Some(1)
        || codecs[0]["name"] != "bytes"
        || !(little == "little" || little.is_null())
    {
        return Err(format_error(path, "plain little-endian bytes", short(codecs)));
    }
    if node["chunk_key_encoding"]["name"] != "default"
        || !matches!(
            node["chunk_key_encoding"]["configuration"]["separator"].as_str(),
            None | Some("/")
        )
    {
        return Err(format_error(path, "default chunk keys", short(&node["chunk_key_encoding"])));
    }
    let data_type = node["data_type"].as_str().unwrap_or_default().to_owned();
    if fill_of(&data_type).is_none_or(|fill| fill != node["fill_value"]) {
        let got = format!("{data_type} filled with {}", node["fill_value"]);
        return Err(format_error(path, "a number type with its usual fill value", got));
    }
    let rank = shape.len();
    // All bytes of a chunk are held at once, so a chunk has to be countable.
    let countable = chunks.iter().try_fold(8usize, |n, &c| n.checked_mul(c)).is_some();
    if chunks.len() != rank || chunks.contains(&0) || !countable {
        let expected = format!("{rank} chunk extents above zero");
        return Err(format_error(path, expected, format!("{chunks:?}")));
    }
    let dimensions: Vec<String> = node["dimension_names"]
        .as_array()
        .map(|names| names.iter().map(|v| v.as_str().unwrap_or_default().to_owned()).collect())
        .unwrap_or_else(|| vec![String::new(); rank]);
    if dimensions.len() != rank {
        return Err(format_error(path, format!("{rank} dimension names"), dimensions.len()));
    }
    Ok(ArraySpec { data_type, shape, chunks, dimensions, attributes: attributes(node) })
}

fn attributes(node: &Value) -> Map<String, Value> {
    node["attributes"].as_object().cloned().unwrap_or_default()
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

impl Group {
    /// Reads attributes of the group as a record.
    ///
    /// # Errors
    /// `Format` if they are not those of the record.
    pub fn attributes_as<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T> {
        serde_json::from_value(Value::Object(self.attributes.clone()))
            .map_err(|error| format_error(path, "the attributes of a record", error))
    }

    /// Adds the fields of a record to the attributes of the group.
    ///
    /// # Errors
    /// `Shape` if it does not serialise to an object.
    pub fn set_attributes(&mut self, record: &impl serde::Serialize) -> Result<()> {
        match serde_json::to_value(record) {
            Ok(Value::Object(object)) => {
                self.attributes.extend(object);
                Ok(())
            }
            other => Err(shape_error("attributes", "an object", format!("{other:?}"))),
        }
    }

    /// Checks the version attribute that every record carries.
    pub(crate) fn check_version(&self, name: &str) -> Result<()> {
        let got = self.attributes.get("record_version").and_then(Value::as_u64).unwrap_or(0);
        let got = u32::try_from(got).unwrap_or(u32::MAX);
        if got > crate::RECORD_VERSION {
            return Err(RecordError::Version {
                name: name.to_owned(),
                expected: crate::RECORD_VERSION,
                got,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zarr::{MemoryStore, Store};

    #[test]
    fn metadata_of_strangers_is_refused_with_its_place() {
        let good = Group::default().array("loss", ArraySpec::new::<f64>(&[2], &["x"]));
        let whole = root(&good, nodes(&good).unwrap()).to_string();
        let open = |text: &str| {
            let store = MemoryStore::default();
            store.put(METADATA, text.as_bytes()).unwrap();
            Group::open(&store)
        };
        assert_eq!(open(&whole).unwrap(), good);
        for (from, to, word) in [
            ("\"little\"", "\"big\"", "little-endian"),
            ("\"bytes\"", "\"zstd\"", "little-endian"),
            ("float64", "complex128", "number type"),
            ("[2]", "[-2]", "shape"),
            ("\"chunk_shape\":[2]", "\"chunk_shape\":[0]", "above zero"),
            ("\"zarr_format\":3}", "\"zarr_format\":2}", "format 3"),
        ] {
            let broken = whole.replace(from, to);
            assert_ne!(broken, whole, "{from} is not in {whole}");
            let message = open(&broken).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
        assert!(open("{").is_err());
        for end in 0..whole.len() {
            assert!(open(&whole[..end]).is_err());
        }
    }

    #[test]
    fn a_name_cannot_lead_out_of_the_store() {
        for name in ["..", "a/b", ""] {
            let group = Group::default().array(name, ArraySpec::new::<f64>(&[1], &["x"]));
            assert!(group.create(&MemoryStore::default()).is_err(), "{name:?}");
        }
    }
}
