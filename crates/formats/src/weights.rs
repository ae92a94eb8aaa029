//! Files of weights, whatever their format.

use crate::safetensors::Weights;
use crate::{FormatError, archive, npz, safetensors, torch};

/// A format of named tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsFormat {
    /// A JSON header, then the tensors.
    Safetensors,
    /// What `torch.save` writes.
    Torch,
    /// NumPy's archive; names with `/` between their parts are read with `.`.
    Npz,
}

impl WeightsFormat {
    /// The format that the bytes look like; none if they look like nothing known.
    pub fn of_bytes(bytes: &[u8]) -> Option<WeightsFormat> {
        let header = bytes.first_chunk().map(|length| u64::from_le_bytes(*length));
        // The length of a header may begin as a pickle does, so this comes first.
        if header.is_some_and(|n| n < bytes.len() as u64) && bytes.get(8) == Some(&b'{') {
            return Some(WeightsFormat::Safetensors);
        }
        if torch::is_torch(bytes) {
            return Some(WeightsFormat::Torch);
        }
        bytes.starts_with(archive::MAGIC).then_some(WeightsFormat::Npz)
    }

    /// The format of files with this extension.
    pub fn of_extension(extension: &str) -> Option<WeightsFormat> {
        Some(match extension.to_ascii_lowercase().as_str() {
            "safetensors" => WeightsFormat::Safetensors,
            "pt" | "pth" | "bin" | "ckpt" => WeightsFormat::Torch,
            "npz" => WeightsFormat::Npz,
            _ => return None,
        })
    }

    /// Reads a file of this format.
    ///
    /// # Errors
    /// Those of its reader; two names of an `.npz` that are one when `/` is read as `.`.
    pub fn read(self, bytes: &[u8]) -> Result<Weights, FormatError> {
        let (named, format) = match self {
            WeightsFormat::Safetensors => return safetensors::read(bytes),
            WeightsFormat::Torch => (torch::read(bytes)?, "PyTorch"),
            WeightsFormat::Npz => {
                let named = npz::read(bytes)?.into_iter();
                (named.map(|(name, array)| (name.replace('/', "."), array)).collect(), "npz")
            }
        };
        let mut weights = Weights::default();
        for (name, array) in named {
            if weights.tensors.contains_key(&name) {
                let reason = format!("the name `{name}` comes twice");
                return Err(FormatError::Invalid { format, reason });
            }
            weights.tensors.insert(name, array);
        }
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use thalweg_array::Array;

    #[test]
    fn formats_are_told_by_their_bytes() {
        let array = Array::vector(&[1f32, 2.0]);
        let mut npz = Vec::new();
        let named = [("layer/0/weight", &array), ("bias", &array)];
        npz::write(&mut npz, &named, npz::Compression::Deflated).unwrap();
        assert_eq!(WeightsFormat::of_bytes(&npz), Some(WeightsFormat::Npz));
        let read = WeightsFormat::Npz.read(&npz).unwrap();
        let names: Vec<&String> = read.tensors.keys().collect();
        assert_eq!(names, ["bias", "layer.0.weight"]);
        // A header of 0x0280 bytes begins as a pickle of protocol 2.
        let mut bytes = Vec::new();
        let metadata = BTreeMap::from([("note".to_string(), "x".repeat(0x280 - 88))]);
        safetensors::write(&mut bytes, &[("w", &array)], &metadata).unwrap();
        assert_eq!(bytes[..2], [0x80, 2]);
        assert_eq!(WeightsFormat::of_bytes(&bytes), Some(WeightsFormat::Safetensors));
        assert_eq!(WeightsFormat::Safetensors.read(&bytes).unwrap().tensors["w"], array);
        for (file, expected) in [
            (&include_bytes!("../tests/fixtures/torch/zip.pt")[..], Some(WeightsFormat::Torch)),
            (include_bytes!("../tests/fixtures/torch/old.pt"), Some(WeightsFormat::Torch)),
            (b"not weights at all", None),
            (b"", None),
        ] {
            assert_eq!(WeightsFormat::of_bytes(file), expected);
        }
        assert_eq!(WeightsFormat::of_extension("PTH"), Some(WeightsFormat::Torch));
        assert_eq!(WeightsFormat::of_extension("zip"), None);
    }

    #[test]
    fn names_that_become_one_are_refused() {
        let array = Array::scalar(1f32);
        let mut npz = Vec::new();
        let named = [("a/b", &array), ("a.b", &array)];
        npz::write(&mut npz, &named, npz::Compression::Stored).unwrap();
        assert_eq!(
            WeightsFormat::Npz.read(&npz).unwrap_err().to_string(),
            "not a valid npz file: the name `a.b` comes twice"
        );
    }
}
