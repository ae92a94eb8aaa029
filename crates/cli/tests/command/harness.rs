//! A folder to run the command in, and what came of it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Output};
use thalweg_record::schema;

/// A working directory of its own for a test, removed when it ends.
pub struct Bench(PathBuf);

/// The value of a quantity in a reply: a number, or an estimate with its error.
pub fn number(quantity: &Value) -> f64 {
    let value = quantity.as_f64().or_else(|| quantity["value"].as_f64());
    value.unwrap_or_else(|| panic!("no number: {quantity}"))
}

/// What came of a command.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    pub fn new(test: &str) -> Bench {
        let path = std::env::temp_dir().join(format!("thalweg-cli-{test}-{}", process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("room for a test's folder");
        Bench(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Another program in this folder, with nothing of the user's own data to be found.
    pub fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0).env("HOME", &self.0);
        command.env_remove("XDG_DATA_HOME").env_remove("THALWEG_DATA");
        command
    }

    /// The command with the words of a line; double quotes hold words together.
    pub fn command(&self, line: &str) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_thalweg"));
        command.args(words(line));
        command
    }

    pub fn run(&self, line: &str) -> Done {
        Done::of(self.command(line).output().expect("the command starts"))
    }

    /// Runs a command that must succeed.
    pub fn ok(&self, line: &str) -> Done {
        let done = self.run(line);
        assert_eq!(done.code, Some(0), "{line}: {}", done.stderr);
        done
    }

    /// The object that a command prints that must succeed.
    pub fn json(&self, line: &str) -> Value {
        self.ok(&format!("{line} --json")).json()
    }

    /// A small trained network with batch normalisation.
    pub fn resnet(&self, out: &str) -> String {
        self.ok(&format!(
            r#"train --arch "resnet depth=8 width=4" --steps 12 --batch 32 --subsample 64 --out {out}"#
        ));
        format!("{out}/weights/seed-0.safetensors")
    }

    /// A small trained network without.
    pub fn mlp(&self, out: &str) -> String {
        self.ok(&format!(
            r#"train --arch "mlp hidden=8" --steps 12 --batch 32 --subsample 64 --out {out}"#
        ));
        format!("{out}/weights/seed-0.safetensors")
    }

    /// Every file of a run that is a result, under its path: weights, arrays, measurements.
    pub fn results(&self, run: &str) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let run = self.path(run);
        for part in ["weights", "results.zarr", "metrics.parquet", "trajectory"] {
            collect(&run, &run.join(part), &mut found);
        }
        found
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Done {
    pub fn of(output: Output) -> Done {
        Done {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }

    /// The one object on stdout, which keeps the schema.
    pub fn json(&self) -> Value {
        schema::check(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{}", self.stdout));
        assert_eq!(self.stdout.lines().count(), 1, "{}", self.stdout);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// The sentence of a failure: the line of stderr under the command's name; nothing follows but
    /// the lines of a table, which are indented.
    pub fn sentence(&self) -> String {
        let mut lines = self.stderr.lines().skip_while(|line| !line.starts_with("thalweg: "));
        let line = lines.next().and_then(|line| line.strip_prefix("thalweg: "));
        assert!(lines.all(|line| line.starts_with("  ")), "{self:?}");
        line.unwrap_or_else(|| panic!("no sentence in {self:?}")).to_owned()
    }
}

/// Every file below a path, under its path from `root`.
fn collect(root: &Path, path: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(root, &entry.unwrap().path(), into);
        }
    } else if let Ok(bytes) = fs::read(path) {
        let name = path.strip_prefix(root).unwrap();
        into.insert(name.display().to_string(), bytes);
    }
}

/// Asserts that two runs left the same results, and some at all, naming the first that differs.
pub fn assert_same(got: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    assert!(!expected.is_empty(), "nothing to compare");
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(got), names(expected));
    for (name, bytes) in expected {
        assert!(got[name] == *bytes, "{name} differs");
    }
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('"').enumerate() {
        match i % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}
