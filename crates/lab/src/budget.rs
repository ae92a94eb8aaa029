//! What a run may use: threads and memory.

use crate::error::{LabError, Result};
use std::fmt;
use std::fs;
use std::str::FromStr;

/// What remains when the system does not say how much memory is free.
const FALLBACK: u64 = 2 << 30;

/// A number of bytes, as `2GiB`, `512MiB`, `1.5GB` or `1000000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Bytes, String> {
        let wrong = || "expected a size as 2GiB, 512MiB or 1.5GB".to_owned();
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| {
                lower.strip_suffix(&name.to_ascii_lowercase()).map(|number| (number, *unit))
            })
            .unwrap_or((&lower, 1));
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let bytes = number * unit as f64;
        if !bytes.is_finite() || bytes < 1.0 || bytes >= (1u64 << 62) as f64 {
            return Err(wrong());
        }
        Ok(Bytes(bytes as u64))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS[..4].iter().find(|(_, unit)| self.0.is_multiple_of(*unit) && self.0 > 0);
        match unit {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// What a run may use. It never changes a bit of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Threads; 0: one for each core.
    pub threads: usize,
    /// Memory.
    pub memory: Bytes,
}

impl Budget {
    /// A budget with defaults filled in: every core, and 60 % of the memory that is free now.
    ///
    /// # Errors
    /// `Usage` for more threads than a machine has.
    pub fn new(threads: Option<usize>, memory: Option<Bytes>) -> Result<Budget> {
        const MOST: usize = 4096;
        let threads = threads.unwrap_or(0);
        if threads > MOST {
            return Err(LabError::Usage(format!(
                "--threads {threads}: expected at most {MOST}; 0 is one for each core"
            )));
        }
        let memory = memory.unwrap_or_else(|| Bytes(free_memory().map_or(FALLBACK, |b| b / 5 * 3)));
        Ok(Budget { threads, memory })
    }
}

/// The memory that can be had without swapping, where the system tells it (Linux).
fn free_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_printed() {
        for (text, bytes) in
            [("2GiB", 2 << 30), ("1.5 kB", 1500), ("7", 7), ("0.5MiB", 1 << 19), ("3gib", 3 << 30)]
        {
            assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
        }
        for text in ["", "GiB", "-1GiB", "0", "1e30GiB", "2 GiBs", "nan"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
        assert_eq!(Bytes(3 << 29).to_string(), "1536MiB");
        assert_eq!(Bytes(1001).to_string(), "1001B");
    }

    #[test]
    fn absurd_numbers_of_threads_are_refused() {
        assert_eq!(Budget::new(Some(1 << 40), None).unwrap_err().exit_code(), 2);
        assert!(Budget::new(None, None).unwrap().memory > Bytes(1 << 20));
    }
}
