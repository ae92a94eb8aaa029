//! How inputs are scaled, and who says so.

use super::DataChoice;
use thalweg_data::{DataError, Normalization, Train};
use thalweg_formats::dataset::{Reading, Scale};

/// Who says how inputs are scaled: an option goes before what a model was trained with, and that
/// before a file beside the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScaleSaid {
    /// Nobody.
    Nowhere,
    /// A file, or the record of a run.
    Beside,
    /// The command.
    Asked,
}

/// How inputs are scaled: by what was said; else by the moments of the examples that are trained
/// on, and of them alone. Places in a picture are what they are.
pub(super) fn normalization(
    train: &Train,
    choice: &DataChoice,
) -> Result<Normalization, DataError> {
    match &choice.reading.scale {
        Some(Scale::None) => Ok(Normalization::identity()),
        Some(Scale::Given { mean, std }) => {
            let channels = train.dataset().example_shape().last().copied().unwrap_or(1);
            Normalization::given(mean, std, channels)
        }
        None if choice.reading.reading == Some(Reading::Coordinates) => {
            Ok(Normalization::identity())
        }
        None | Some(Scale::Fitted) => Normalization::fit(train),
    }
}

pub(super) fn said(choice: &DataChoice) -> ScaleSaid {
    match choice.reading.scale {
        Some(_) => ScaleSaid::Beside,
        None => ScaleSaid::Nowhere,
    }
}
