//! What went wrong, as a typed exception with the command line's sentence.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use thalweg_array::ArrayError;
use thalweg_data::DataError;
use thalweg_exec::ExecError;
use thalweg_formats::FormatError;
use thalweg_graph::GraphError;
use thalweg_lab::LabError;
use thalweg_methods::MethodError;
use thalweg_nn::NnError;
use thalweg_record::RecordError;
use thalweg_train::TrainError;

/// Which of `thalweg`'s exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Arrays that do not fit the model or each other.
    Shape,
    /// A file that is not what it should be.
    Format,
    /// Numbers or labels that cannot be used.
    Data,
    /// A setting that cannot be used.
    Config,
    /// The system refuses a file.
    File,
    /// Too little memory.
    Memory,
    /// A number that everything else rests on is not finite, or a matrix has no factorisation.
    Numerics,
    /// The user stopped it.
    Interrupted,
    /// A defect.
    Internal,
}

impl Kind {
    /// The name in `thalweg`.
    fn class(self) -> &'static str {
        match self {
            Kind::Shape => "ShapeError",
            Kind::Format => "FormatError",
            Kind::Data => "DataError",
            Kind::Config => "ConfigError",
            Kind::File => "FileError",
            Kind::Memory => "OutOfMemoryError",
            Kind::Numerics => "NumericsError",
            Kind::Interrupted => "Interrupted",
            Kind::Internal => "ThalwegError",
        }
    }
}

/// A failure on its way to Python.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which exception.
    pub kind: Kind,
    /// One sentence.
    pub sentence: String,
}

/// The result of native work.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: Kind, sentence: impl Into<String>) -> Failure {
        Failure { kind, sentence: sentence.into() }
    }

    /// A setting that cannot be used.
    pub fn config(what: &str, expected: &str, got: impl std::fmt::Display) -> Failure {
        Failure::new(Kind::Config, format!("{what}: expected {expected}, got {got}"))
    }

    /// Arrays that do not fit.
    pub fn shape(sentence: impl Into<String>) -> Failure {
        Failure::new(Kind::Shape, sentence)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> PyErr {
        Python::attach(|py| {
            let class = py.import("thalweg._errors").and_then(|m| m.getattr(failure.kind.class()));
            let error = class.and_then(|class| class.call1((failure.sentence.as_str(),)));
            match error {
                Ok(error) => PyErr::from_value(error),
                Err(_) => PyRuntimeError::new_err(failure.sentence),
            }
        })
    }
}

impl From<ArrayError> for Failure {
    fn from(error: ArrayError) -> Failure {
        let kind = match error {
            ArrayError::TooLarge { .. } => Kind::Memory,
            _ => Kind::Shape,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<GraphError> for Failure {
    fn from(error: GraphError) -> Failure {
        // Where in Thalweg's own code it was noticed is nothing to a user.
        let GraphError { op, expected, got, .. } = error;
        Failure::new(Kind::Shape, format!("{op}: expected {expected}, got {got}"))
    }
}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Failure {
        let kind = match error {
            ExecError::Graph(error) => return error.into(),
            ExecError::OutOfMemory { .. } => Kind::Memory,
            ExecError::Numerical { .. } => Kind::Numerics,
            _ => Kind::Shape,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Failure {
        let kind = match error {
            DataError::InputShape { .. }
            | DataError::TargetShape { .. }
            | DataError::Count { .. }
            | DataError::Mismatch { .. } => Kind::Shape,
            DataError::Range { .. } => Kind::Config,
            _ => Kind::Data,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<NnError> for Failure {
    fn from(error: NnError) -> Failure {
        let kind = match error {
            NnError::UnknownName { .. }
            | NnError::UnknownOption { .. }
            | NnError::BadOption { .. } => Kind::Config,
            NnError::TooLarge { .. } => Kind::Memory,
            NnError::Graph(error) => return error.into(),
            _ => Kind::Shape,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<MethodError> for Failure {
    fn from(error: MethodError) -> Failure {
        let kind = match error {
            MethodError::Interrupted => Kind::Interrupted,
            MethodError::Config { .. } => Kind::Config,
            MethodError::Mismatch { .. } => Kind::Shape,
            MethodError::Memory { .. } => Kind::Memory,
            MethodError::NotFinite { .. } => Kind::Numerics,
            MethodError::Unit { .. } => Kind::Format,
            MethodError::Store { .. } => Kind::File,
            MethodError::Stats(_) => Kind::Data,
            MethodError::Exec(error) => return error.into(),
            MethodError::Graph(error) => return error.into(),
            MethodError::Nn(error) => return error.into(),
            MethodError::Data(error) => return error.into(),
            MethodError::Array(error) => return error.into(),
            // This crate is built apart from the others, and is not to break with a new variant.
            #[allow(unreachable_patterns)]
            _ => Kind::Internal,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<TrainError> for Failure {
    fn from(error: TrainError) -> Failure {
        let kind = match error {
            TrainError::Memory { .. } => Kind::Memory,
            TrainError::Exec(error) => return error.into(),
            TrainError::Graph(error) => return error.into(),
            TrainError::Nn(error) => return error.into(),
            TrainError::Data(error) => return error.into(),
            TrainError::Array(error) => return error.into(),
            _ => Kind::Config,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<FormatError> for Failure {
    fn from(error: FormatError) -> Failure {
        Failure::new(Kind::Format, error.to_string())
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Failure {
        let kind = match error {
            RecordError::Io { .. } => Kind::File,
            _ => Kind::Format,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Failure {
        let kind = match error {
            LabError::Usage(_) => Kind::Config,
            LabError::Input(_) => Kind::Format,
            LabError::Weights { .. } => Kind::Shape,
            LabError::Interrupted => Kind::Interrupted,
            LabError::File { .. } | LabError::Exists { .. } | LabError::Locked { .. } => Kind::File,
            LabError::Differs { .. } => Kind::Config,
            LabError::Format(error) => return error.into(),
            LabError::Data(error) => return error.into(),
            LabError::Nn(error) => return error.into(),
            LabError::Train(error) => return error.into(),
            LabError::Method(error) => return error.into(),
            LabError::Graph(error) => return error.into(),
            LabError::Exec(error) => return error.into(),
            LabError::Array(error) => return error.into(),
            LabError::Record(error) => return error.into(),
            // This crate is built apart from the others, and is not to break with a new variant.
            #[allow(unreachable_patterns)]
            _ => Kind::Internal,
        };
        Failure::new(kind, error.sentence())
    }
}
