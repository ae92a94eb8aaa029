//! What part of a curvature matrix is meant: which parameters, which examples.

use crate::MethodError;
use crate::common::Objective;
use std::fmt;
use thalweg_nn::{Parameter, Role};

/// Which parameters a matrix ranges over: a block on its diagonal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ParameterBlock {
    /// All of them.
    #[default]
    All,
    /// Those of a part of the model: the parameter of this name, or all whose names begin with it
    /// and a dot, as `layer1.0` means `layer1.0.conv1.weight` and not `layer1.01.weight`.
    Layer(String),
    /// Those of these names.
    Named(Vec<String>),
    /// Those of a role.
    Role(Role),
}

impl ParameterBlock {
    /// How many elements its parameters have.
    ///
    /// # Errors
    /// A model without such parameters.
    pub fn count(&self, parameters: &[Parameter]) -> Result<usize, MethodError> {
        let places = self.places(parameters)?;
        Ok(places.into_iter().filter_map(|place| parameters.get(place)).map(Parameter::count).sum())
    }

    /// The elements of a vector over all parameters that belong to its own.
    ///
    /// # Errors
    /// A model without such parameters; a vector of another length.
    pub fn restricted(
        &self,
        parameters: &[Parameter],
        whole: &[f64],
    ) -> Result<Vec<f64>, MethodError> {
        let places = self.places(parameters)?;
        let n: usize = parameters.iter().map(Parameter::count).sum();
        if whole.len() != n {
            let expected = format!("{n} elements");
            return Err(MethodError::mismatch(
                "a vector over all parameters",
                expected,
                whole.len(),
            ));
        }
        let (mut part, mut rest) = (Vec::new(), whole);
        for (place, parameter) in parameters.iter().enumerate() {
            let (head, tail) = rest.split_at(parameter.count());
            if places.contains(&place) {
                part.extend_from_slice(head);
            }
            rest = tail;
        }
        Ok(part)
    }

    /// The vector over all parameters that has these elements for its own and zeros elsewhere.
    ///
    /// # Errors
    /// A model without such parameters; a vector of another length.
    pub fn expanded(
        &self,
        parameters: &[Parameter],
        part: &[f64],
    ) -> Result<Vec<f64>, MethodError> {
        let places = self.places(parameters)?;
        let n = self.count(parameters)?;
        if part.len() != n {
            let (what, expected) = (format!("a vector over {self}"), format!("{n} elements"));
            return Err(MethodError::mismatch(what, expected, part.len()));
        }
        let (mut whole, mut rest) = (Vec::new(), part);
        for (place, parameter) in parameters.iter().enumerate() {
            let end = whole.len() + parameter.count();
            if places.contains(&place) {
                let (head, tail) = rest.split_at(parameter.count());
                whole.extend_from_slice(head);
                rest = tail;
            }
            whole.resize(end, 0.0);
        }
        Ok(whole)
    }

    /// The places of its parameters, ascending.
    pub(crate) fn places(&self, parameters: &[Parameter]) -> Result<Vec<usize>, MethodError> {
        let where_ = |keep: &dyn Fn(&Parameter) -> bool| -> Vec<usize> {
            (0..parameters.len()).filter(|&place| keep(&parameters[place])).collect()
        };
        let places = match self {
            ParameterBlock::All => where_(&|_| true),
            ParameterBlock::Layer(prefix) => where_(&|p| {
                let rest = p.name.strip_prefix(prefix.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }),
            ParameterBlock::Named(names) => {
                let known = |name: &&String| parameters.iter().any(|p| p.name == **name);
                if let Some(unknown) = names.iter().find(|name| !known(name)) {
                    return Err(none_such(unknown, parameters));
                }
                where_(&|p| names.contains(&p.name))
            }
            ParameterBlock::Role(role) => where_(&|p| p.role == *role),
        };
        match places.is_empty() {
            false => Ok(places),
            true => Err(none_such(&self.to_string(), parameters)),
        }
    }
}

fn none_such(what: &str, parameters: &[Parameter]) -> MethodError {
    const SHOWN: usize = 8;
    let mut names: Vec<&str> = parameters.iter().map(|p| p.name.as_str()).take(SHOWN).collect();
    if parameters.len() > SHOWN {
        names.push("..");
    }
    let expected = format!("a parameter or a part of the model that holds some of {names:?}");
    MethodError::mismatch("parameters", expected, what)
}

impl fmt::Display for ParameterBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParameterBlock::All => f.write_str("whole"),
            ParameterBlock::Layer(prefix) => write!(f, "layer {prefix}"),
            ParameterBlock::Named(names) => write!(f, "parameters {}", names.join(", ")),
            ParameterBlock::Role(role) => write!(f, "role {role:?}"),
        }
    }
}

/// Which examples a matrix is the mean over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExampleGroup {
    /// All of the objective's.
    #[default]
    All,
    /// Those of a class.
    Class(i32),
    /// Those at these places of the objective's order: a group, or one.
    At(Vec<usize>),
}

impl ExampleGroup {
    /// The places of its examples; none: all, as they are.
    pub(crate) fn places(
        &self,
        objective: &dyn Objective,
    ) -> Result<Option<Vec<usize>>, MethodError> {
        let n = objective.examples();
        match self {
            ExampleGroup::All => Ok(None),
            ExampleGroup::Class(class) => {
                let Some(labels) = objective.labels() else {
                    let expected = "an objective whose examples each have one";
                    return Err(MethodError::mismatch("a class", expected, "one without"));
                };
                let of_class = |&place: &usize| labels.get(place) == Some(class);
                let places: Vec<usize> = (0..n).filter(of_class).collect();
                if places.is_empty() {
                    let most = labels.iter().copied().max().unwrap_or(0);
                    let expected = format!("one with examples, of 0 to {most}");
                    return Err(MethodError::mismatch("the class", expected, class));
                }
                Ok(Some(places))
            }
            ExampleGroup::At(places) => match places.iter().find(|&&place| place >= n) {
                Some(place) => {
                    Err(MethodError::mismatch("an example", format!("below {n}"), place))
                }
                None if places.is_empty() => {
                    Err(MethodError::mismatch("examples", "at least one", "none"))
                }
                None => Ok(Some(places.clone())),
            },
        }
    }
}

/// Examples by their places, neighbours as a range without its end; by their number where that would
/// be long.
fn listed(places: &[usize]) -> String {
    const SHOWN: usize = 8;
    let runs: Vec<&[usize]> = places.chunk_by(|a, b| a + 1 == *b).collect();
    if runs.len() > SHOWN {
        return format!("{} examples", places.len());
    }
    let words = |run: &&[usize]| match **run {
        [first, .., last] => format!("{first}..{}", last + 1),
        _ => run.iter().map(usize::to_string).collect(),
    };
    format!("examples {}", runs.iter().map(words).collect::<Vec<_>>().join(", "))
}

/// What part of a curvature matrix is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Which parameters.
    pub parameters: ParameterBlock,
    /// Which examples.
    pub examples: ExampleGroup,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let examples = match &self.examples {
            ExampleGroup::All => return self.parameters.fmt(f),
            ExampleGroup::Class(class) => format!("class {class}"),
            ExampleGroup::At(places) if places.len() == 1 => format!("example {}", places[0]),
            ExampleGroup::At(places) => listed(places),
        };
        match self.parameters {
            ParameterBlock::All => f.write_str(&examples),
            _ => write!(f, "{}, {examples}", self.parameters),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Function;
    use thalweg_array::DType;

    #[test]
    fn a_layer_ends_at_a_dot() {
        let names = [("fc.weight", &[2usize][..]), ("fc2.weight", &[2]), ("fc.bias", &[1])];
        let function = Function::new(DType::F64, &names, |_, w| w[0].sum_all());
        let parameters = function.parameters();
        let places = |block: ParameterBlock| block.places(parameters);
        assert_eq!(places(ParameterBlock::Layer("fc".into())).unwrap(), [0, 2]);
        assert_eq!(places(ParameterBlock::Layer("fc.bias".into())).unwrap(), [2]);
        assert_eq!(places(ParameterBlock::Named(vec!["fc2.weight".into()])).unwrap(), [1]);
        assert_eq!(places(ParameterBlock::Role(Role::Weight)).unwrap(), [0, 1, 2]);
        let message = places(ParameterBlock::Layer("f".into())).unwrap_err().to_string();
        assert_eq!(
            message,
            "parameters: expected a parameter or a part of the model that holds some of \
             [\"fc.weight\", \"fc2.weight\", \"fc.bias\"], got layer f"
        );
        assert!(places(ParameterBlock::Role(Role::Bias)).is_err());
        let part = |whole: &[f64]| ParameterBlock::Layer("fc".into()).restricted(parameters, whole);
        assert_eq!(part(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap(), [1.0, 2.0, 5.0]);
        assert!(part(&[1.0; 4]).unwrap_err().to_string().ends_with("expected 5 elements, got 4"));
        let whole = |part: &[f64]| ParameterBlock::Layer("fc".into()).expanded(parameters, part);
        assert_eq!(whole(&[1.0, 2.0, 5.0]).unwrap(), [1.0, 2.0, 0.0, 0.0, 5.0]);
        let message = whole(&[1.0; 4]).unwrap_err().to_string();
        assert_eq!(message, "a vector over layer fc: expected 3 elements, got 4");
        let scope = Scope {
            parameters: ParameterBlock::Layer("fc".into()),
            examples: ExampleGroup::Class(3),
        };
        assert_eq!(scope.to_string(), "layer fc, class 3");
        assert_eq!(Scope::default().to_string(), "whole");
        let of = |places: &[usize]| {
            let examples = ExampleGroup::At(places.to_vec());
            Scope { parameters: ParameterBlock::All, examples }.to_string()
        };
        assert_eq!(
            (of(&[4]), of(&[7, 2, 3, 4, 0])),
            ("example 4".into(), "examples 7, 2..5, 0".into())
        );
        assert_eq!(of(&(0..9).map(|i| 2 * i).collect::<Vec<_>>()), "9 examples");
        let no_class = ExampleGroup::Class(0).places(&function).unwrap_err().to_string();
        assert!(no_class.contains("examples each have one"), "{no_class}");
    }
}
