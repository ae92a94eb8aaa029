//! Data sets known by name.

use crate::Provenance;

/// A file of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogueFile {
    /// Its name without `.gz`.
    pub name: &'static str,
    /// Bytes, uncompressed.
    pub bytes: u64,
    /// SHA-256 of its uncompressed bytes, in hexadecimal.
    pub sha256: &'static str,
}

/// A data set known by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The name to ask for.
    pub name: &'static str,
    /// What it is, in one line.
    pub summary: &'static str,
    /// Official source.
    pub source: &'static str,
    /// Licence.
    pub license: &'static str,
    /// How to cite it.
    pub citation: &'static str,
    /// What the raw values are.
    pub scale: &'static str,
    /// Its files; empty for one that is embedded.
    pub files: &'static [CatalogueFile],
    /// Where a system package puts the files, searched after the directories of the caller.
    pub directories: &'static [&'static str],
    /// How to get the files, one sentence.
    pub obtain: &'static str,
}

impl CatalogueEntry {
    /// Whether it needs no files.
    pub fn is_embedded(&self) -> bool {
        self.files.is_empty()
    }

    /// Source, licence, citation and scale.
    pub fn provenance(&self) -> Provenance {
        Provenance {
            source: self.source.into(),
            license: self.license.into(),
            citation: self.citation.into(),
            scale: self.scale.into(),
        }
    }
}

static CATALOGUE: [CatalogueEntry; 2] = [
    CatalogueEntry {
        name: "digits",
        summary: "1,797 grey images of handwritten digits, 8x8, 10 classes, 359 of them for testing",
        source: "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits \
                 (test part)",
        license: "CC BY 4.0",
        citation: "E. Alpaydin, C. Kaynak, Optical recognition of handwritten digits, UCI Machine \
                   Learning Repository, 1998, doi 10.24432/C50P49",
        scale: "inked cells of a 4x4 block, 0 to 16",
        files: &[],
        directories: &[],
        obtain: "It is embedded.",
    },
    CatalogueEntry {
        name: "fashion-mnist",
        summary: "70,000 grey images of clothes, 28x28, 10 classes, 10,000 of them for testing",
        source: "https://github.com/zalandoresearch/fashion-mnist",
        license: "MIT",
        citation: "H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a novel image dataset for \
                   benchmarking machine learning algorithms, 2017, arXiv:1708.07747",
        scale: "grey values 0 to 255",
        files: &[
            CatalogueFile {
                name: "train-images-idx3-ubyte",
                bytes: 47_040_016,
                sha256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            },
            CatalogueFile {
                name: "train-labels-idx1-ubyte",
                bytes: 60_008,
                sha256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            },
            CatalogueFile {
                name: "t10k-images-idx3-ubyte",
                bytes: 7_840_016,
                sha256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            },
            CatalogueFile {
                name: "t10k-labels-idx1-ubyte",
                bytes: 10_008,
                sha256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            },
        ],
        directories: &["/usr/share/datasets/fashion-mnist"],
        obtain: "Install Debian's package dataset-fashion-mnist, or download the four files from \
                 the source and name their folder.",
    },
];

/// Every data set that is known by name.
pub fn catalogue() -> &'static [CatalogueEntry] {
    &CATALOGUE
}

/// The data set of a name.
pub fn find(name: &str) -> Option<&'static CatalogueEntry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_say_where_the_data_come_from() {
        for entry in catalogue() {
            for text in [entry.summary, entry.source, entry.license, entry.citation, entry.scale] {
                assert!(!text.is_empty(), "{}", entry.name);
            }
            assert!(entry.files.iter().all(|file| file.sha256.len() == 64));
            assert_eq!(find(entry.name), Some(entry));
        }
        assert!(find("digits").is_some_and(CatalogueEntry::is_embedded));
        assert!(find("no such data").is_none());
    }
}
