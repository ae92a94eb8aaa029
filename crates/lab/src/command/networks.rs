//! The networks that `map` and `compare` are about: trained here, or read.

use crate::class_loss::at_the_end;
use crate::data_source::{DataChoice, InputKind, PreparedData};
use crate::design::Design;
use crate::error::Result;
use crate::model_source::WeightsFile;
use crate::run_directory::RunDirectory;
use crate::session::Session;
use crate::study::TrainSettings;
use crate::subject::{Subject, Wanted};
use crate::train::Training;
use thalweg_nn::{ClassLoss, Model};
use thalweg_record::{Table, TrainingCurve};

/// The two networks of the default comparison, and those for data that are no images.
const PAIR: [(&str, &str); 2] = [
    ("with skip connections", "resnet depth=44 width=4 skip=true"),
    ("without skip connections", "resnet depth=44 width=4 skip=false"),
];
const FEATURES: [(&str, &str); 1] = [("multi-layer perceptron", "mlp")];
const TOKENS: [(&str, &str); 1] = [("transformer", "gpt")];

/// A network that is mapped: trained here, or read.
pub(super) enum Origin {
    Train { design: Box<Design>, model: Model, settings: Box<TrainSettings> },
    File(Box<Subject>),
}

/// The networks to train: those asked for, or the default ones.
pub(super) fn to_train(
    architectures: &[String],
    settings: &TrainSettings,
    data: &PreparedData,
) -> Result<Vec<(String, Origin)>> {
    let named = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    };
    let wanted = match architectures {
        [] => match data.kind() {
            InputKind::Images => named(&PAIR),
            InputKind::Features => named(&FEATURES),
            InputKind::Tokens => named(&TOKENS),
        },
        given => given.iter().map(|text| (text.clone(), text.clone())).collect(),
    };
    let mut networks: Vec<(String, Origin)> = Vec::new();
    for (name, architecture) in wanted {
        let settings = TrainSettings { architecture, ..settings.clone() };
        let (settings, design, model) = settings.for_data(data, |_| "")?;
        let name = unique(name, &networks);
        networks.push((
            name,
            Origin::Train { design: Box::new(design), model, settings: Box::new(settings) },
        ));
    }
    Ok(networks)
}

/// The networks of files.
pub(super) fn read(
    session: &Session,
    files: &[WeightsFile],
    wanted: &Wanted<'_>,
    data: &PreparedData,
) -> Result<Vec<(String, Origin)>> {
    let mut networks = Vec::new();
    for file in files {
        let subject = Subject::new(session, file, wanted, data)?;
        // Members of several runs are told apart by their runs.
        let twice = files.iter().filter(|other| other.name == file.name).count() > 1;
        let name = if twice { file.long_name() } else { file.name.clone() };
        let name = unique(name, &networks);
        networks.push((name, Origin::File(Box::new(subject))));
    }
    Ok(networks)
}

fn unique(name: String, taken: &[(String, Origin)]) -> String {
    let free = |name: &str| taken.iter().all(|(other, _)| slug(other) != slug(name));
    if free(&name) {
        return name;
    }
    let numbered = (2..).map(|n: usize| format!("{name} {n}")).find(|name| free(name));
    numbered.unwrap_or(name)
}

/// A name as a file and group has it.
pub(super) fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        match c.is_ascii_alphanumeric() || c == '.' {
            true => slug.push(c.to_ascii_lowercase()),
            false if slug.ends_with('-') || slug.is_empty() => {}
            false => slug.push('-'),
        }
    }
    slug.trim_matches(['-', '.']).to_owned()
}

impl Origin {
    pub(super) fn architecture(&self) -> String {
        match self {
            Origin::Train { design, model, .. } => design.text(model),
            Origin::File(subject) => subject.architecture(),
        }
    }

    pub(super) fn loss(&self) -> Result<ClassLoss> {
        match self {
            Origin::Train { settings, .. } => Ok(at_the_end(settings.loss.parse()?)),
            Origin::File(subject) => Ok(subject.loss),
        }
    }

    /// The network at its point, trained if need be.
    pub(super) fn prepare(
        &self,
        session: &Session,
        run: &RunDirectory,
        name: &str,
        choice: &DataChoice,
        data: &PreparedData,
    ) -> Result<Prepared> {
        let (design, model, settings) = match self {
            Origin::File(subject) => {
                let subject = Subject { name: name.to_owned(), ..(**subject).clone() };
                return Ok(Prepared { subject, curves: Vec::new(), metrics: None });
            }
            Origin::Train { design, model, settings } => (design, model, settings),
        };
        let slug = slug(name);
        let training = Training { name: &slug, data, choice, design, model, settings, start: None };
        let mut trained = crate::train::train(session, run, &training)?;
        let subject = Subject {
            name: name.to_owned(),
            design: (**design).clone(),
            model: model.clone(),
            weights: trained.members.remove(0).weights,
            loss: at_the_end(settings.loss.parse()?),
            data: data.clone(),
        };
        Ok(Prepared { subject, curves: trained.curves, metrics: Some(trained.metrics) })
    }
}

/// A network at its point, and how it came there.
pub(super) struct Prepared {
    pub(super) subject: Subject,
    pub(super) curves: Vec<TrainingCurve>,
    pub(super) metrics: Option<Table>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_files_and_groups() {
        assert_eq!(slug("with skip connections"), "with-skip-connections");
        assert_eq!(slug("resnet depth=8, width=4"), "resnet-depth-8-width-4");
        assert_eq!(slug("../..x"), "x");
        assert_eq!(slug("seed-0-lr-0.1"), "seed-0-lr-0.1");
    }
}
