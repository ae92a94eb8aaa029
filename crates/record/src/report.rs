//! Everything that a report shows.

use crate::{
    Comparison, Line, Quantity, RECORD_VERSION, RecordError, Result, Spectrum, Surface,
    TrainingCurve, format_error, number,
};
use serde::{Deserialize, Serialize};

/// Where a result came from: all that another machine needs to say whether it should agree.
///
/// Threads are left out on purpose: they never change a bit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of Thalweg.
    pub version: String,
    /// The root seed of every random stream.
    pub seed: u64,
    /// The processor and the instruction set used, in words.
    pub device: String,
    /// The name of the data.
    pub data: String,
    /// The fingerprint of the data.
    pub data_fingerprint: String,
    /// `f32` or `f64`.
    pub precision: String,
    /// The command line that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// How one of the numbers in a report was obtained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The quantity, as the table heads it.
    pub quantity: String,
    /// In a sentence or two: definition, data, samples, tolerance.
    pub how: String,
}

/// What was found out about one model. Absent parts are not shown.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelReport {
    /// A short name, for headings and legends.
    pub name: String,
    /// The architecture and training in a sentence.
    #[serde(default)]
    pub description: String,
    /// How many parameters it has.
    pub parameters: u64,
    /// The share of test examples that it classifies correctly, in 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "number::option")]
    pub test_accuracy: Option<f64>,
    /// The loss at the centre.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Quantity>,
    /// SAM's sharpness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharpness: Option<Quantity>,
    /// The roughness index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roughness: Option<Quantity>,
    /// The spectrum: top eigenvalues, trace, density.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spectrum: Option<Spectrum>,
    /// The surface around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surface: Option<Surface>,
    /// One-dimensional cuts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<Line>,
    /// Its training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<TrainingCurve>,
}

impl ModelReport {
    /// The largest eigenvalue, if a spectrum was taken.
    pub fn top_eigenvalue(&self) -> Option<f64> {
        self.spectrum.as_ref()?.top.first().map(|eigenvalue| eigenvalue.value)
    }

    /// The trace, if it was taken.
    pub fn trace(&self) -> Option<Quantity> {
        self.spectrum.as_ref()?.trace
    }
}

/// A whole report: that of `map`, or of a single surface, spectrum or training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of the record types: [`RECORD_VERSION`].
    pub record_version: u32,
    /// The heading.
    pub title: String,
    /// What the report is about, in a sentence or two under the heading.
    #[serde(default)]
    pub summary: String,
    /// What the loss is and its unit: `cross-entropy (nats)`.
    pub loss_name: String,
    /// The models, in the order in which they are to be shown.
    pub models: Vec<ModelReport>,
    /// What instruments say of all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// How each number was obtained.
    #[serde(default)]
    pub explanations: Vec<Explanation>,
    /// Where it all came from.
    pub provenance: Provenance,
}

impl Report {
    /// A report of this version, without models.
    pub fn new(
        title: impl Into<String>,
        loss_name: impl Into<String>,
        provenance: Provenance,
    ) -> Self {
        Report {
            record_version: RECORD_VERSION,
            title: title.into(),
            summary: String::new(),
            loss_name: loss_name.into(),
            models: Vec::new(),
            comparison: None,
            explanations: Vec::new(),
            provenance,
        }
    }

    /// The report as JSON, one object.
    pub fn to_json(&self) -> String {
        // Plain data with string keys: there is nothing that JSON could refuse.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads back what [`Report::to_json`] wrote.
    ///
    /// # Errors
    /// `Format` if the text is not such an object, `Version` if it is from a later program.
    pub fn from_json(name: &str, text: &str) -> Result<Self> {
        let report: Report = serde_json::from_str(text)
            .map_err(|error| format_error(name, "a report in JSON", error))?;
        if report.record_version > RECORD_VERSION {
            return Err(RecordError::Version {
                name: name.to_owned(),
                expected: RECORD_VERSION,
                got: report.record_version,
            });
        }
        for surface in report.models.iter().filter_map(|model| model.surface.as_ref()) {
            surface.check()?;
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SurfaceAttributes;

    fn report() -> Report {
        let mut report = Report::new("t", "loss", Provenance::default());
        let axis = vec![-1.0, 0.0, 1.0];
        let mut surface =
            Surface::new(axis, vec![0.0], None, SurfaceAttributes::default()).unwrap();
        surface.loss = vec![1.0, 0.1, f64::NAN];
        let mut model = ModelReport { name: "a".into(), ..ModelReport::default() };
        model.test_accuracy = Some(f64::NAN);
        model.lines = surface.lines();
        model.surface = Some(surface);
        report.models.push(model);
        report
    }

    #[test]
    fn a_report_goes_round_and_keeps_what_is_not_a_number() {
        let text = report().to_json();
        let back = Report::from_json("report.json", &text).unwrap();
        assert_eq!(back.to_json(), text);
        assert!(back.models[0].test_accuracy.is_some_and(f64::is_nan));
        assert_eq!(back.models[0].loss, None);
        assert!(back.models[0].surface.as_ref().unwrap().loss[2].is_nan());
    }

    #[test]
    fn reports_that_do_not_fit_are_refused() {
        let text = report().to_json();
        let later = text.replace("\"record_version\":1", "\"record_version\":9");
        assert!(matches!(Report::from_json("r", &later), Err(RecordError::Version { got: 9, .. })));
        let short = text.replace("[1.0,0.1,null],\"status\"", "[1.0],\"status\"");
        assert_ne!(short, text);
        let message = Report::from_json("r", &short).unwrap_err().to_string();
        assert_eq!(message, "loss: expected 3 points, got 1");
    }
}
