//! Which data, and how they are read.

use clap::Args;
use std::str::FromStr;
use thalweg_lab::{BadValue, ImageSize, Reading, Scale, Task};

/// Arguments of `data`.
#[derive(Debug, Args)]
pub struct DescribeArguments {
    /// A built-in name, or a path as of --data elsewhere.
    #[arg(value_name = "DATA")]
    pub data: Option<String>,
    /// How the data are read.
    #[command(flatten)]
    pub reading: ReadingArguments,
}

/// Which data.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct DataArguments {
    /// A built-in name (see `thalweg data`), or the path of an .npz, .csv, .tsv,
    /// .parquet or IDX file, a folder of IDX files, a folder with a folder of images for each class, a .txt file,
    /// whose next token is predicted, or a .toml file that says which data and how to read them
    /// [default: the model's own, or digits].
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,
    /// Share of the examples for the test part, if the data bring none of their own; of a text
    /// its end [default: as the model was trained, or 0.2].
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub test_fraction: Option<f64>,
    /// Take so many examples at most for training, stratified by class [default: as the model was
    /// trained, or all].
    #[arg(long, value_name = "N")]
    pub subsample: Option<usize>,
    /// Give this share of the training labels another class [default: as the model was trained, or 0].
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub label_noise: Option<f64>,
    /// How the data are read.
    #[command(flatten)]
    pub reading: ReadingArguments,
}

/// How data are read. All of it can stand in a TOML file: thalweg.toml in the folder of the data,
/// or one that is given as DATA.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data")]
pub struct ReadingArguments {
    /// Characters (or tokens, see --tokens) that an example of a text shows [default: as the model
    /// was trained, or 64].
    #[arg(long, value_name = "N")]
    pub context: Option<usize>,
    /// Tokens of a text: characters, bytes, or the path of a tokenizer.json [default: characters].
    #[arg(long, value_name = "TOKENS")]
    pub tokens: Option<String>,
    /// Whether targets are classes or quantities: classification or regression [default: whole
    /// numbers from 0 and text are classes, other numbers quantities].
    #[arg(long, value_name = "TASK", value_parser = expected::<Task>)]
    pub task: Option<Task>,
    /// Columns of a table that are predicted, by name, or by number if it has no names [default:
    /// the one called target, label, class or y, or the last one].
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub target: Vec<String>,
    /// Columns of a table that are left out.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub leave_out: Vec<String>,
    /// Whether the first line of a CSV file names the columns: true or false [default: as it looks].
    #[arg(long, value_name = "BOOL")]
    pub header: Option<bool>,
    /// What parts the cells of a CSV file: comma, semicolon or tab [default: as it looks].
    #[arg(long, value_name = "NAME", value_parser = delimiter)]
    pub delimiter: Option<char>,
    /// Bring images to this size, HEIGHTxWIDTH or one number for both, as Pillow's BILINEAR does
    /// [default: none, if all are of one size].
    #[arg(long, value_name = "SIZE", value_parser = expected::<ImageSize>)]
    pub resize: Option<ImageSize>,
    /// Channels of images: 1 or 3 [default: 3 if any image is in colour].
    #[arg(long, value_name = "N", value_parser = channels)]
    pub channels: Option<usize>,
    /// How inputs are scaled: fitted (to mean 0 and deviation 1 over the training part), none,
    /// imagenet, or mean=M,..:std=S,.. of each channel [default: as the model was trained, or
    /// fitted; none for a model from elsewhere, and for coordinates].
    #[arg(long, value_name = "SCALE", value_parser = expected::<Scale>)]
    pub scale: Option<Scale>,
    /// Read a picture as coordinates: from the place of a pixel to its colour.
    #[arg(long = "as", value_name = "READING", value_parser = expected::<Reading>)]
    pub reading: Option<Reading>,
}

fn expected<T: FromStr<Err = BadValue>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: BadValue| format!("expected {}", error.expected))
}

fn delimiter(text: &str) -> Result<char, String> {
    thalweg_lab::delimiter(text).map_err(|error| format!("expected {}", error.expected))
}

fn channels(text: &str) -> Result<usize, String> {
    thalweg_lab::channels(text).map_err(|error| format!("expected {}", error.expected))
}
