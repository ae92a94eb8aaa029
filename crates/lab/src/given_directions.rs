//! Directions in weight space that the user gives in files.

use crate::error::{LabError, Result};
use crate::weights_reader::read_weights;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use thalweg_array::{Array, DType};
use thalweg_nn::{Model, NnError, Parameters, direction_from_torch, wrapping_prefix};

/// How names say which direction a part is of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scheme {
    /// They do not: all are of one.
    Plain,
    /// By what comes before the parameter's name.
    Before([&'static str; 2]),
    /// By what comes after it.
    After([&'static str; 2]),
}

const SCHEMES: [Scheme; 5] = [
    Scheme::Before(["x.", "y."]),
    Scheme::Before(["d1.", "d2."]),
    Scheme::After([".x", ".y"]),
    Scheme::Before(["0.", "1."]),
    Scheme::Plain,
];

impl Scheme {
    /// The direction, 0 or 1, and the parameter that a name says.
    fn split(self, name: &str) -> Option<(usize, &str)> {
        let strip = |which: usize| match self {
            Scheme::Plain => (which == 0).then_some(name),
            Scheme::Before(prefixes) => name.strip_prefix(prefixes[which]),
            Scheme::After(suffixes) => name.strip_suffix(suffixes[which]),
        };
        (0..2).find_map(|which| Some((which, strip(which)?)))
    }

    /// The scheme under which most of the names are the model's.
    fn of(names: &[&str], known: &BTreeSet<&str>) -> Scheme {
        let fit = |scheme: Scheme| {
            let fits = |name: &&&str| {
                let part = scheme.split(name).map(|(_, parameter)| parameter);
                part.is_some_and(|parameter| known.contains(parameter))
            };
            names.iter().filter(fits).count()
        };
        let written = |scheme: Scheme| names.iter().all(|name| scheme.split(name).is_some());
        // Where no name fits, what they look like is what was meant.
        let best = SCHEMES.into_iter().rev().max_by_key(|&scheme| (fit(scheme), written(scheme)));
        best.unwrap_or(Scheme::Plain)
    }
}

/// Directions, and what is to be said of them.
#[derive(Debug)]
pub(crate) struct Given {
    /// One or two.
    pub(crate) directions: Vec<Parameters>,
    /// Sentences on what does not move although it might have been meant to.
    pub(crate) notes: Vec<String>,
}

/// The directions in one file, or in two, one each: names of parameters as in a file of weights,
/// with `x.` and `y.` before them, `d1.` and `d2.`, `0.` and `1.`, or `.x` and `.y` after them.
/// Parameters that a direction leaves out stay at the centre.
///
/// # Errors
/// `File` and `Format` for what cannot be read; `Weights` for names that are not the model's, or
/// shapes; `Input` for two files of which one holds two directions.
pub(crate) fn read(paths: &[PathBuf], model: &Model) -> Result<Given> {
    let mut given = Given { directions: Vec::new(), notes: Vec::new() };
    for path in paths {
        let found = read_file(path, model, &mut given.notes)?;
        if paths.len() > 1 && found.len() > 1 {
            return Err(LabError::Input(format!(
                "{} holds two directions: give it alone, or two files of one direction each",
                path.display()
            )));
        }
        given.directions.extend(found);
    }
    Ok(given)
}

fn read_file(path: &Path, model: &Model, notes: &mut Vec<String>) -> Result<Vec<Parameters>> {
    let entries: Vec<(String, Array)> = read_weights(path)?.tensors.into_iter().collect();
    let shown = path.display();
    if entries.is_empty() {
        return Err(LabError::Input(format!("{shown} holds no arrays: expected a direction")));
    }
    let prefix = wrapping_prefix(model, &entries).len();
    let names: Vec<&str> = entries.iter().map(|(name, _)| &name[prefix..]).collect();
    let known = model.parameters().iter().map(|parameter| parameter.name.as_str()).collect();
    let scheme = Scheme::of(&names, &known);
    let mut parts: [Vec<(String, Array)>; 2] = Default::default();
    for ((_, array), name) in entries.iter().zip(names) {
        // A name that says no direction is told as it is, with the names of the first.
        let (which, parameter) = scheme.split(name).unwrap_or((0, name));
        parts[which].push((parameter.to_owned(), array.clone()));
    }
    let mut directions = Vec::new();
    for (which, part) in parts.iter().enumerate() {
        if part.is_empty() {
            continue;
        }
        let which =
            if scheme == Scheme::Plain { "" } else { [", direction x", ", direction y"][which] };
        let direction =
            direction_from_torch(model, part, DType::F64).map_err(|error| match error {
                NnError::Weights(faults) => {
                    let what = format!(
                        "{shown}{which}: expected names as PARAMETER, or as x.PARAMETER and \
                         y.PARAMETER, and the parameters' shapes"
                    );
                    LabError::Weights { what, faults }
                }
                other => LabError::Input(format!("{shown}{which}: {other}")),
            })?;
        let note = |names: &[String], all: usize, sentence: &str| {
            const SAID: usize = 6;
            let said = names.iter().take(SAID).map(String::as_str).collect::<Vec<_>>().join(", ");
            let rest = match names.len().saturating_sub(SAID) {
                0 => String::new(),
                rest => format!(" and {rest} more"),
            };
            format!("{shown}{which}: {} of {all} {sentence}: {said}{rest}", names.len())
        };
        if !direction.held.is_empty() {
            let all = model.parameters().len();
            let sentence = "parameters are not in it and stay at the centre";
            notes.push(note(&direction.held, all, sentence));
        }
        if !direction.aside.is_empty() {
            let sentence = "entries are running statistics, which do not move";
            notes.push(note(&direction.aside, part.len(), sentence));
        }
        directions.push(direction.parameters);
    }
    // A file of `y.` names alone holds the only direction there is.
    Ok(directions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;
    use crate::scratch::Scratch;
    use std::collections::BTreeMap;
    use thalweg_formats::safetensors;
    use thalweg_nn::Architecture;

    /// A network of `fc1.weight` [4, 3], `fc1.bias` [4], `fc2.weight` [2, 4], `fc2.bias` [2].
    fn mlp() -> Model {
        "mlp hidden=4".parse::<Architecture>().unwrap().build(&[3], 2).unwrap()
    }

    const SHAPES: [(&str, &[usize]); 4] =
        [("fc1.weight", &[4, 3]), ("fc1.bias", &[4]), ("fc2.weight", &[2, 4]), ("fc2.bias", &[2])];

    fn write(path: &Path, named: &[(String, Array)]) {
        let named: Vec<(&str, &Array)> = named.iter().map(|(n, a)| (n.as_str(), a)).collect();
        let mut bytes = Vec::new();
        safetensors::write(&mut bytes, &named, &BTreeMap::new()).unwrap();
        files::atomic_write_bytes(path, &bytes).unwrap();
    }

    /// Both directions, of ones and of twos, under names made of a parameter's.
    fn both(name: impl Fn(usize, &str) -> String) -> Vec<(String, Array)> {
        let mut named = Vec::new();
        for which in 0..2 {
            for (parameter, shape) in SHAPES {
                named.push((name(which, parameter), Array::full(shape, 1.0 + which as f32)));
            }
        }
        named
    }

    fn sums(directions: &[Parameters]) -> Vec<f64> {
        let sum = |d: &Parameters| d.arrays().iter().flat_map(Array::to_f64_vec).sum();
        directions.iter().map(sum).collect()
    }

    #[test]
    fn every_way_to_name_two_directions_is_read() {
        let scratch = Scratch::new("directions");
        let path = scratch.path().join("d.safetensors");
        let count = 26.0;
        for [x, y] in [["x.", "y."], ["d1.", "d2."], ["0.", "1."], ["module.x.", "module.y."]] {
            write(&path, &both(|which, name| format!("{}{name}", [x, y][which])));
            let given = read(std::slice::from_ref(&path), &mlp()).unwrap();
            assert_eq!(sums(&given.directions), [count, 2.0 * count], "{x}");
            assert!(given.notes.is_empty());
        }
        write(&path, &both(|which, name| format!("{name}.{}", ["x", "y"][which])));
        let given = read(std::slice::from_ref(&path), &mlp()).unwrap();
        assert_eq!(sums(&given.directions), [count, 2.0 * count]);
        let other = scratch.path().join("e.safetensors");
        let plain =
            |which: usize| both(|_, name| name.to_owned()).split_off(4 * which)[..4].to_vec();
        write(&path, &plain(1));
        write(&other, &plain(0));
        let given = read(&[path.clone(), other.clone()], &mlp()).unwrap();
        assert_eq!(sums(&given.directions), [2.0 * count, count]);
        write(&other, &both(|which, name| format!("{}{name}", ["x.", "y."][which])));
        let message = read(&[path, other], &mlp()).unwrap_err().to_string();
        assert!(message.ends_with("one direction each"), "{message}");
    }

    /// The names of `nn.Sequential` begin with numbers, as those of directions may.
    #[test]
    fn numbers_are_directions_or_layers_as_the_model_has_it() {
        let sequential: BTreeSet<&str> = ["0.weight", "0.bias", "1.weight"].into();
        let named: BTreeSet<&str> = ["fc.weight", "fc.bias"].into();
        let (plain, numbered) = (["0.weight", "1.weight"], ["0.0.weight", "1.0.weight"]);
        assert_eq!(Scheme::of(&plain, &sequential), Scheme::Plain);
        assert_eq!(Scheme::of(&numbered, &sequential), Scheme::Before(["0.", "1."]));
        assert_eq!(Scheme::of(&["0.fc.bias"], &named), Scheme::Before(["0.", "1."]));
        assert_eq!(Scheme::of(&["x.fc.biass"], &named), Scheme::Before(["x.", "y."]));
        assert_eq!(Scheme::of(&["fc.biass"], &named), Scheme::Plain);
    }

    #[test]
    fn what_does_not_move_is_said_and_what_is_not_known_is_refused() {
        let scratch = Scratch::new("part-directions");
        let path = scratch.path().join("d.safetensors");
        let part = |name: &str| vec![(name.to_owned(), Array::full(&[2, 4], 1f32))];
        write(&path, &part("x.fc2.weight"));
        let given = read(std::slice::from_ref(&path), &mlp()).unwrap();
        assert_eq!(sums(&given.directions), [8.0]);
        let said = "direction x: 3 of 4 parameters are not in it and stay at the centre: \
                    fc1.weight, fc1.bias, fc2.bias";
        assert!(given.notes.len() == 1 && given.notes[0].ends_with(said), "{:?}", given.notes);
        write(&path, &part("x.fc2.wight"));
        let error = read(std::slice::from_ref(&path), &mlp()).unwrap_err();
        assert!(
            error.to_string().ends_with("fc2.wight is not expected (there is fc2.weight)"),
            "{error}"
        );
        write(&path, &[]);
        let error = read(std::slice::from_ref(&path), &mlp()).unwrap_err();
        assert!(error.to_string().ends_with("expected a direction"), "{error}");
    }
}
