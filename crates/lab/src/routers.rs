//! The routers of a mixture of experts in somebody's checkpoint.

use crate::error::{LabError, Result, at};
use crate::files;
use crate::weights_reader::in_folder;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use thalweg_formats::sharded::Index;
use thalweg_formats::{FormatError, routers};
use thalweg_nn::Parameters;

/// The routers in a safetensors file, in shards by their index, or in the folder of a saved model, layer
/// after layer: with their names, what `router_rows` of the methods takes. Experts are not read.
///
/// The names are those of [`thalweg_formats::routers`].
///
/// # Errors
/// `File` or `Format` with the path; `Input` for a folder without a saved model.
pub fn read_routers(path: &Path) -> Result<Parameters> {
    let path = match path.is_dir() {
        true => in_folder(path).ok_or_else(|| {
            LabError::Input(format!(
                "{}: expected model.safetensors or model.safetensors.index.json in it",
                path.display()
            ))
        })?,
        false => path.to_path_buf(),
    };
    let mut found = Vec::new();
    for file in shards(&path)? {
        found.extend(routers::read(BufReader::new(open(&file)?)).map_err(format_at(&file))?);
    }
    let found = routers::join(found).map_err(format_at(&path))?.into_iter();
    Ok(Parameters::new(found.map(|router| (router.name, router.weight)).collect())?)
}

/// The files that an index names; any other file by itself.
fn shards(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        return Ok(vec![path.to_path_buf()]);
    }
    let index = Index::read(&files::read(path)?).map_err(format_at(path))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(index.files().into_iter().map(|name| folder.join(name)).collect())
}

fn open(path: &Path) -> Result<File> {
    if !fs::metadata(path).map_err(at(path))?.is_file() {
        return Err(at(path)(io::Error::other("expected a regular file")));
    }
    File::open(path).map_err(at(path))
}

fn format_at(path: &Path) -> impl Fn(FormatError) -> FormatError + '_ {
    |source| FormatError::File { path: path.to_path_buf(), source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::collections::BTreeMap;
    use thalweg_array::Array;
    use thalweg_data::Stream;
    use thalweg_formats::safetensors;
    use thalweg_methods::dynamics::{
        PathwaySymbols, pathway_consistency, pathway_distance, pathway_text, pathways, router_rows,
        routing_dimension,
    };

    /// A model that transformers saved; `tests/fixtures/olmoe/generate.py` made it.
    fn olmoe() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/olmoe")
    }

    #[test]
    fn the_pathways_of_an_olmoe_are_those_that_were_computed_elsewhere() {
        let routers = read_routers(&olmoe()).unwrap();
        let names: Vec<String> =
            (0..3).map(|layer| format!("model.layers.{layer}.mlp.gate.weight")).collect();
        assert_eq!(routers.names(), names);
        let rows = router_rows(&routers, routers.names()).unwrap();
        assert!(rows.iter().all(|router| router.len() == 8 && router[0].len() == 11));
        let text = fs::read_to_string(olmoe().join("expected.json")).unwrap();
        let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
        let routing: Vec<Vec<Vec<f64>>> =
            serde_json::from_value(expected["routing"].clone()).unwrap();
        let found = pathways(&routing, 0.7);
        let texts: Vec<String> = found.iter().map(pathway_text).collect();
        assert_eq!(serde_json::json!(texts), expected["texts"]);
        let stream = Stream::new(0, "pairs");
        let distance = pathway_distance(&found, PathwaySymbols::Characters, 100, &stream).unwrap();
        let near = |value: f64, expected: &serde_json::Value| {
            let expected = expected.as_f64().unwrap();
            assert!((value - expected).abs() < 1e-9, "{value} {expected}");
        };
        near(distance.mean, &expected["distance"]);
        near(routing_dimension(&routing, 0.1).unwrap(), &expected["dimension"]);
        for (i, of) in routing.iter().enumerate() {
            near(pathway_consistency(of, &rows).unwrap(), &expected["consistency"][i]);
        }
    }

    #[test]
    fn shards_are_read_and_faults_are_said_with_the_file() {
        let scratch = Scratch::new("routers");
        let gate = |experts: usize, units: usize| {
            Array::from_slice(&[experts, units], &vec![1f32; experts * units]).unwrap()
        };
        let write = |file: &str, name: &str, array: &Array| {
            let mut bytes = Vec::new();
            safetensors::write(&mut bytes, &[(name, array)], &BTreeMap::new()).unwrap();
            fs::write(scratch.path().join(file), bytes).unwrap();
        };
        let says = |path: &Path| read_routers(path).unwrap_err().to_string();
        assert!(says(scratch.path()).contains("expected model.safetensors or"));
        let (first, second) = ("model.layers.0.mlp.gate.weight", "model.layers.1.mlp.gate.weight");
        write("a.safetensors", second, &gate(4, 2));
        write("b.safetensors", first, &gate(3, 2));
        write("c.safetensors", "lm_head.weight", &gate(9, 2));
        let index = format!(
            r#"{{"weight_map": {{"{first}": "b.safetensors", "{second}": "a.safetensors", "lm_head.weight": "c.safetensors"}}}}"#
        );
        let path = scratch.path().join("model.safetensors.index.json");
        fs::write(&path, index).unwrap();
        let routers = read_routers(scratch.path()).unwrap();
        assert_eq!(routers.names(), [first, second]);
        assert_eq!(
            (routers.arrays()[0].shape(), routers.arrays()[1].shape()),
            (&[2, 3][..], &[2, 4][..])
        );
        // A shard that is not there, one that is broken, and a file of something else.
        fs::remove_file(scratch.path().join("a.safetensors")).unwrap();
        assert!(says(&path).contains("a.safetensors"));
        fs::write(scratch.path().join("a.safetensors"), b"no").unwrap();
        let broken = scratch.path().join("a.safetensors");
        assert_eq!(
            says(&path),
            format!(
                "{}: not a valid safetensors file: it has 2 bytes, expected 8 for the size of the header",
                broken.display()
            )
        );
        let other = scratch.path().join("c.safetensors");
        let start = format!(
            "{}: not a valid checkpoint of a mixture of experts file: it has no router",
            other.display()
        );
        assert!(says(&other).starts_with(&start), "{}", says(&other));
        assert!(says(&scratch.path().join("none.safetensors")).contains("none.safetensors"));
    }
}
