//! Every paper: what it is, what it claims, and whether its check can be run.

use crate::check::Check;
use serde::Deserialize;
use std::sync::OnceLock;
use thalweg_lab::{LabError, Result};
use thalweg_record::reply::PaperStatus;

/// The table, one entry a paper.
const TABLE: &str = include_str!("../papers.toml");

/// A paper.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper {
    /// Its number, from 1 on.
    pub n: u32,
    /// Its name on the command line.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// Its family.
    pub family: String,
    /// What it gives: a method, a theory, a study, ..
    pub kind: String,
    /// How much work its check is: S, M or L.
    pub size: String,
    /// Where it appeared, or where its authors' code is.
    pub source: String,
    /// What it claims, in one sentence.
    pub claim: String,
}

#[derive(Deserialize)]
struct Table {
    paper: Vec<Paper>,
}

/// Every paper, by number.
pub fn papers() -> &'static [Paper] {
    static PAPERS: OnceLock<Vec<Paper>> = OnceLock::new();
    PAPERS.get_or_init(|| {
        // The table is part of the program, and the tests read it.
        toml::from_str::<Table>(TABLE).map_or_else(|_| Vec::new(), |table| table.paper)
    })
}

/// Every check that is registered.
pub fn checks() -> Vec<&'static dyn Check> {
    [
        crate::surface::CHECKS,
        crate::curvature::CHECKS,
        crate::dynamics::CHECKS,
        crate::optim::CHECKS,
    ]
    .concat()
}

impl Paper {
    /// The paper of a slug.
    ///
    /// # Errors
    /// `Usage`, with the names that are nearest to it.
    pub fn find(slug: &str) -> Result<&'static Paper> {
        let found = papers().iter().find(|paper| paper.slug == slug);
        found.ok_or_else(|| {
            let near = nearest(slug, papers().iter().map(|paper| paper.slug.as_str()));
            LabError::Usage(format!(
                "{slug} is no paper; near it are {}; thalweg papers lists all",
                near.join(", ")
            ))
        })
    }

    /// Its check, if there is one.
    pub fn check(&self) -> Option<&'static dyn Check> {
        checks().into_iter().find(|check| check.slug() == self.slug)
    }

    /// Whether its check can be run.
    pub fn status(&self) -> PaperStatus {
        match self.check() {
            Some(_) => PaperStatus::Done,
            None => PaperStatus::Planned,
        }
    }
}

/// The papers of a family, or all.
///
/// # Errors
/// `Usage`, with the families that there are.
pub fn of_family(family: Option<&str>) -> Result<Vec<&'static Paper>> {
    let Some(family) = family else { return Ok(papers().iter().collect()) };
    let found: Vec<&Paper> = papers().iter().filter(|paper| paper.family == family).collect();
    if found.is_empty() {
        let mut known: Vec<&str> = papers().iter().map(|paper| paper.family.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        let known = known.join(", ");
        return Err(LabError::Usage(format!("--family {family}: expected one of {known}")));
    }
    Ok(found)
}

/// The three names that are nearest to a word: those that hold it or that it holds first, then by
/// the number of letters that must be changed, put in or left out.
fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    const MOST: usize = 3;
    // Longer than any name, it is near none; the distance takes time in its length.
    let word: String = word.chars().take(64).collect();
    let holds = |name: &str| !word.is_empty() && (name.contains(&word) || word.contains(name));
    let mut ranked: Vec<(bool, usize, &str)> =
        names.map(|name| (!holds(name), distance(&word, name), name)).collect();
    ranked.sort();
    ranked.into_iter().take(MOST).map(|(_, _, name)| name).collect()
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j].min(diagonal) + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_whole() {
        let papers = papers();
        assert_eq!(papers.len(), 186);
        let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        for (i, paper) in papers.iter().enumerate() {
            assert_eq!(paper.n as usize, i + 1);
            assert!(paper.slug.chars().all(is_word), "{}", paper.slug);
            assert!(["S", "M", "L"].contains(&paper.size.as_str()), "{}", paper.slug);
            assert!(paper.claim.ends_with('.') && paper.claim.len() > 40, "{}", paper.slug);
            assert!(!paper.title.is_empty() && !paper.source.is_empty(), "{}", paper.slug);
        }
        let slugs: BTreeSet<&str> = papers.iter().map(|paper| paper.slug.as_str()).collect();
        assert_eq!(slugs.len(), papers.len());
        let families: BTreeSet<&str> = papers.iter().map(|paper| paper.family.as_str()).collect();
        assert_eq!(families.len(), 19);
    }

    #[test]
    fn a_status_is_that_of_a_registered_check() {
        let of = |slug: &str| Paper::find(slug).unwrap().status();
        let done = papers().iter().filter(|paper| paper.status() == PaperStatus::Done).count();
        assert_eq!(done, checks().len());
        assert_eq!(of("hessian_bulk_outliers"), PaperStatus::Done);
        assert_eq!(of("llm4distreconfig"), PaperStatus::Planned);
    }

    #[test]
    fn an_unknown_name_gets_the_nearest() {
        let message = |slug: &str| Paper::find(slug).unwrap_err().to_string();
        assert!(message("roughnes_index").contains("near it are roughness_index,"));
        assert!(message("bulk").contains("near it are hessian_bulk_outliers,"));
        assert!(message("").contains("near it are "));
        assert!(message(&"x".repeat(1 << 20)).contains("near it are "));
        let families = of_family(Some("surfaces")).unwrap_err().to_string();
        assert!(families.contains("expected one of adversarial, attribution,"), "{families}");
        assert_eq!(of_family(Some("surface")).unwrap().len(), 6);
    }

    #[test]
    fn distances_by_hand() {
        for (a, b, expected) in
            [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }
}
